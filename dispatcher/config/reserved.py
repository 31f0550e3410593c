"""Names that belong to capabilities this version does not have.

They are refused by name wherever they stand. To call `tokens` an unknown key would send its author looking for a typo, and to
ignore it would let a plan run without the protection that was asked for.
"""

from __future__ import annotations

from typing import Final

KEYS: Final = frozenset({
    "access", "estimate", "include", "price",
    "rollouts", "spend_limits", "tls", "tokens", "triggers", "usd",
})  # fmt: skip

VALUES: Final[dict[str, frozenset[str]]] = {}
"""Values by the key that would hold them: the word itself, or the only key of a mapping."""


def unsupported(what: str) -> str:
    """The one wording of it."""
    return f"{what} is not supported by this version"

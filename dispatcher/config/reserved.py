"""Names that belong to capabilities this version does not have.

They are refused by name wherever they stand. To call `cache` an unknown key would send its author looking for a typo, and to
ignore it would let a plan run without the protection that was asked for.
"""

from __future__ import annotations

from typing import Final

KEYS: Final = frozenset({
    "access", "allow_partial_input", "cache", "canary", "cascade", "estimate", "fallback", "for_each",
    "include", "max_concurrency", "max_items", "min_time", "on_branch_failure", "price",
    "rollouts", "spend_limits", "stages", "tls", "tokens", "triggers", "usd",
})  # fmt: skip

INSTEAD_OF_BRANCHES: Final = frozenset({"cascade", "stages"})
"""Keys that would take the place of `branches`, which is therefore not missed beside them."""

UNTIL: Final = frozenset({"predicate", "confidence", "quiet"})
MERGES: Final = frozenset({"synthesize"})
VALUES: Final = {"until": UNTIL, "merge": MERGES}
"""Values by the key that would hold them: the word itself, or the only key of a mapping."""


def unsupported(what: str) -> str:
    """The one wording of it."""
    return f"{what} is not supported by this version"

"""The one place that reads the environment.

Everything else is told its settings, so that a test, or a process that embeds Fanmesh, decides without touching a global.
An empty variable counts as not set, as the OpenTelemetry specification asks and as container manifests need.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import Final

TRUE: Final = frozenset({"1", "true", "yes", "on"})
FALSE: Final = frozenset({"0", "false", "no", "off"})


class BadVariable(ValueError):  # noqa: N818  (what the variable is)
    """A variable holds something that it cannot mean."""

    def __init__(self, name: str, value: str, expected: str) -> None:
        super().__init__(f"environment variable {name}={value!r}: expected {expected}")


def text(name: str, default: str = "") -> str:
    """The variable without surrounding blanks; `default` if it is unset or empty."""
    return os.environ.get(name, "").strip() or default


def unless_set(name: str, value: str) -> None:
    """Set the variable for this process and its children, unless somebody has. Before whoever reads it is imported."""
    os.environ.setdefault(name, value)


def inherited(more: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with `more` in it, for a child process."""
    return {**os.environ, **more}


def flag(name: str, default: bool = False) -> bool:  # noqa: FBT001, FBT002  (a value, not a switch)
    """A yes or no. BadVariable if it is neither."""
    value = text(name)
    if not value:
        return default
    if (low := value.lower()) in TRUE:
        return True
    if low in FALSE:
        return False
    raise BadVariable(name, value, "true or false")


def integer(name: str, default: int, *, least: int | None = None) -> int:
    """A whole number ≥ `least`. BadVariable if it is none."""
    value = text(name)
    if not value:
        return default
    try:
        number = int(value)
    except ValueError:
        raise BadVariable(name, value, "a whole number") from None
    if least is not None and number < least:
        raise BadVariable(name, value, f"at least {least}")
    return number


def choice(name: str, default: str, allowed: Collection[str]) -> str:
    """One of `allowed`, in lower case. BadVariable if it is none of them."""
    value = text(name, default).lower()
    if value not in allowed:
        raise BadVariable(name, value, "one of " + ", ".join(allowed))
    return value

"""What is promised, beside what was measured."""

from __future__ import annotations

from typing import Any, NamedTuple

Figures = dict[str, dict[str, Any]]


class Claim(NamedTuple):
    """A ratio or a share that must not be above `bound` (or below it, if `least`). None = it could not be measured."""

    about: str
    measured: float | None
    bound: float
    least: bool = False

    @property
    def holds(self) -> bool:
        """Whether it was measured, and is so."""
        return self.measured is not None and (self.measured >= self.bound if self.least else self.measured <= self.bound)

    def __str__(self) -> str:
        """`ok      p99 hedged / none                  0.31 ≤ 0.33`."""
        verdict = "ok" if self.holds else "MISSED" if self.measured is not None else "MISSED (not measured)"
        shown = "–" if self.measured is None else f"{self.measured:.3f}"
        return f"{verdict:7} {self.about:64} {shown} {'≥' if self.least else '≤'} {self.bound:.3f}"


def figure(found: Figures, variant: str, name: str) -> float | None:
    """One figure, if there is one."""
    value = found.get(variant, {}).get(name)
    return None if value is None else float(value)


def ratio(found: Figures, name: str, variant: str, to: str) -> float | None:
    """That figure of one variant over another's."""
    above, below = figure(found, variant, name), figure(found, to, name)
    return round(above / below, 4) if above is not None and below else None


def extra(found: Figures, variant: str) -> float | None:
    """Calls beyond one a request."""
    calls = figure(found, variant, "calls_per_request")
    return None if calls is None else round(calls - 1.0, 4)

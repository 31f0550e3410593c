"""What the audience sees of a claim: a line on what will be shown, the picture, and each check with what was seen.

A check is an observation compared with an expectation, and both are kept: a ✓ without the value behind it proves nothing to a
reader, and a ✗ without it helps nobody.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from fanmesh.cli.bars import ratio
from fanmesh.cli.say import WIDTH, width
from fanmesh.cli.told import report_json
from fanmesh.cli.tones import Tone, colourful, paint
from fanmesh.cli.waterfall import render
from fanmesh.model.report import Report

BOLD: Final = "\x1b[1m{}\x1b[0m"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that had to hold. `seen` is what was there in its place, or what shows that it holds."""

    what: str
    ok: bool
    seen: str


@dataclass(slots=True)
class Claim:
    """What was claimed, and what came of it."""

    number: int
    title: str
    checks: list[Check] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)

    @property
    def held(self) -> bool:
        """Whether something was checked, and all of it held."""
        return bool(self.checks) and all(check.ok for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        """For `-o json`."""
        checks = [{"what": check.what, "ok": check.ok, "seen": check.seen} for check in self.checks]
        told = [report_json(report) for report in self.reports]
        return {"number": self.number, "title": self.title, "held": self.held, "checks": checks, "reports": told}


class Stage:
    """Prints as things happen, or only keeps them (`silent`). One claim at a time, begun by `begin`."""

    def __init__(self, *, silent: bool = False) -> None:
        self.claims: list[Claim] = []
        self._silent = silent
        self._colour = colourful() and not silent
        self._width = width()

    @property
    def claim(self) -> Claim:
        """The one that is being shown."""
        return self.claims[-1]

    def begin(self, number: int, title: str, about: str) -> None:
        """A new claim. `about` says in a line what will happen."""
        self.claims.append(Claim(number, title))
        head = f"{number}  {title}"
        self.line()
        self.line(BOLD.format(head) if self._colour else head)
        self.line(f"   {about}", Tone.QUIET)

    def line(self, text: str = "", tone: Tone | None = None) -> None:
        """A line as it is; the scenes keep it within the page."""
        if self._silent:
            return
        print(paint(text, tone, colour=self._colour) if tone else text, flush=True)

    def waterfall(self, report: Report, failed: str | None = None) -> None:
        """The picture of one request."""
        self.claim.reports.append(report)
        for line in render(report, width=self._width - 2, colour=self._colour, failed=failed).splitlines():
            self.line(f"  {line}")

    def same(self, what: str, seen: object, expected: object) -> None:
        """`seen` is `expected`, or the claim does not hold."""
        if seen == expected:
            self._check(Check(what, True, _short(seen)))
        else:
            self._check(Check(what, False, f"{_short(seen)}, expected {_short(expected)}"))

    def true(self, what: str, ok: bool, seen: object) -> None:  # noqa: FBT001  (the result of a comparison)
        """`ok`, or the claim does not hold; `seen` is what it was judged by."""
        self._check(Check(what, bool(ok), _short(seen)))

    def _check(self, check: Check) -> None:
        self.claim.checks.append(check)
        mark, tone = ("✓", Tone.GOOD) if check.ok else ("✗", Tone.BAD)
        text = f"{check.what}: {check.seen}" if check.seen else check.what
        if len(text) > WIDTH - 5 and check.ok:
            text = f"{text[: WIDTH - 6]}…"
        self.line(f"   {paint(mark, tone, colour=self._colour)} {text}")


def _short(value: object) -> str:
    match value:
        case str():
            return value
        case bool():
            return "yes" if value else "no"
        case set():
            return ", ".join(sorted(map(str, value))) or "none"
        case tuple() | list():
            return ", ".join(map(str, value)) or "none"
        case float():
            return ratio(value)
        case _:
            return str(value)

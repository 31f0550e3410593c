"""A time axis in character cells: bars with eighths of a cell, and a ruler whose ticks stand where they say.

A table library aligns text and knows no time; a bar that is off by a column tells a lie about which call was slower.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from fanmesh.model.times import MS, SECOND, US

EIGHTHS: Final = " ▏▎▍▌▋▊▉"
SOLID: Final = "█"
_STEPS: Final = tuple(step * 10**power for power in range(3, 13) for step in (1, 2, 5))
_LEAST: Final = 7
"""Cells between two ticks, so that a label and its tick have room."""


def time(ns: int) -> str:
    """`0.4 ms`, `41 ms`, `1500 ms`, `12.3 s`: as many digits as can matter to a person."""
    if ns < 10 * MS:
        return f"{ns / MS:.1f} ms"
    return f"{ns / MS:.0f} ms" if ns < 10 * SECOND else f"{ns / SECOND:.1f} s"


def ratio(value: float) -> str:
    """Two digits, rounded down: 0.999 must not read as everything."""
    return f"{int(value * 100 + 1e-9) / 100:.2f}"


class Axis(NamedTuple):
    """`span` ns from the left edge to the right one, over `cells` characters."""

    span: int
    cells: int

    def _eighths(self, at: int) -> int:
        return min(round(max(at, 0) * self.cells * 8 / max(self.span, 1)), self.cells * 8)

    def bar(self, start: int, end: int, fill: str = SOLID, mark: str = "") -> str:
        """A bar from `start` to `end` (ns), padded to the whole axis; never invisible.

        A solid one ends in eighths of a cell. Another fill has no eighths: it ends in whole cells, the last of them `mark`.
        """
        first = min(self._eighths(start) // 8, self.cells - 1)
        length = max(1, self._eighths(end) - first * 8)
        if fill == SOLID and not mark:
            full, rest = divmod(length, 8)
            body = SOLID * full + EIGHTHS[rest].strip()
        else:
            body = fill * max(1, round(length / 8))
            body = body[:-1] + mark if mark else body
        return (" " * first + body).ljust(self.cells)

    def ruler(self) -> str:
        """Ticks at round times; each stands in the cell of its instant, its number right of it, the unit with the last one."""
        step = next((step for step in _STEPS if step * self.cells >= _LEAST * self.span), max(self.span, 1))
        size, unit = (SECOND, "s") if step >= SECOND else (MS, "ms") if step >= MS else (US, "µs")
        at = range(0, max(self.span, 1), step)
        line = ""
        for number, instant in enumerate(at):
            label = f"╷{instant // size}" + (f" {unit}" if number == len(at) - 1 else "")
            cell = self._eighths(instant) // 8
            if cell + len(label) > self.cells:
                line = f"{line.rstrip()} {unit}"
                break
            line = line.ljust(cell) + label
        return line.ljust(self.cells)

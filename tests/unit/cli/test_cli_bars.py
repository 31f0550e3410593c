"""Bars and rulers: where things stand on the axis."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanmesh.cli.bars import EIGHTHS, SOLID, Axis, ratio, time
from fanmesh.model.times import SECOND, ms


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0.0 ms"),
        (400_000, "0.4 ms"),
        (ms(9.94), "9.9 ms"),
        (ms(41), "41 ms"),
        (ms(1500), "1500 ms"),
        (12 * SECOND, "12.0 s"),
    ],
)
def test_times_have_the_digits_that_matter(ns: int, text: str) -> None:
    """A tenth below 10 ms, whole milliseconds below 10 s, then seconds."""
    assert time(ns) == text


def test_a_bar_stands_where_its_time_is() -> None:
    """On ten cells of 10 ms each: from 20 to 45 ms is two blank cells, two full ones, and half of one."""
    assert Axis(ms(100), 10).bar(ms(20), ms(45)) == "  ██▌     "


def test_the_mark_is_the_last_cell_of_the_bar() -> None:
    """A fill without eighths ends in its mark, at the same place."""
    assert Axis(ms(100), 10).bar(ms(20), ms(60), "░", "┤") == "  ░░░┤    "


def test_even_nothing_is_seen() -> None:
    """A bar of no length, and one at the right edge, still leave a trace."""
    axis = Axis(ms(100), 10)
    assert axis.bar(0, 0).strip() == "▏"
    assert axis.bar(ms(100), ms(100)).strip()


@given(st.integers(1, 10**12), st.integers(1, 200), st.integers(0, 2 * 10**12), st.integers(0, 2 * 10**12))
def test_a_bar_is_as_long_as_its_time(span: int, cells: int, a: int, b: int) -> None:
    """It fills exactly the axis, and its right end is within a cell of the truth (a tiny bar is at least an eighth)."""
    start, end = sorted((a, b))
    text = Axis(span, cells).bar(start, end)
    assert len(text) == cells
    body = text.rstrip()
    tip = len(body) - 1 + (EIGHTHS.index(body[-1]) / 8 if body[-1] in EIGHTHS else 1.0)
    true = min(end, span) * cells / span
    assert abs(tip - true) <= 1.0
    assert set(body.strip()) <= {SOLID, *EIGHTHS}


@given(st.integers(1, 10**13), st.integers(10, 120))
def test_a_ruler_fits_and_tells_its_unit(span: int, cells: int) -> None:
    """It begins with a tick at zero, and never runs over the axis by more than its unit."""
    line = Axis(span, cells).ruler()
    assert line.startswith("╷0")
    assert len(line) <= cells + 3
    assert line.rstrip().endswith(("s", "ms", "µs"))


@given(st.integers(1_000_000, 10**13), st.integers(10, 120))
def test_ticks_stand_in_the_cell_of_their_instant(span: int, cells: int) -> None:
    """The label's number, in its unit, is the time at which its tick stands."""
    line = Axis(span, cells).ruler().rstrip()
    unit = {"ms": ms(1), "µs": 1000}.get(line[-2:], SECOND)
    for position in (at for at, char in enumerate(line) if char == "╷"):
        number = int("".join(char for char in line[position + 1 :].split("╷")[0] if char.isdigit()))
        assert abs(number * unit * cells / span - position) <= 1


@pytest.mark.parametrize(("value", "text"), [(0.0, "0.00"), (0.29, "0.29"), (2 / 3, "0.66"), (0.999, "0.99"), (1.0, "1.00")])
def test_ratios_are_rounded_down(value: float, text: str) -> None:
    """1.00 is for everything alone."""
    assert ratio(value) == text

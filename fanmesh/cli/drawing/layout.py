"""Where things stand in a picture with columns: which row each thing gets, so that lines are short and cross seldom.

The usual three steps of a layered drawing (Sugiyama, Tagawa, Toda 1981): a line that passes a column gets a place of its own in
it, rows are ordered by the mean of their neighbours, and each column then moves as close to its neighbours as its order allows.
Graphviz does it better, but a picture that needs a program which is not there is no picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple

SWEEPS: Final = 12
GAP: Final = 22.0
"""Between two things of one column; a line that passes has half of it on either side."""
COLUMN: Final = 72.0
"""Between two columns."""


class Size(NamedTuple):
    """Of one thing."""

    width: float
    height: float


class Point(NamedTuple):
    """x to the right, y down."""

    x: float
    y: float


class Layout(NamedTuple):
    """`places`: the upper left corner of each thing. `routes`: of each line, the points that it passes, in pairs.

    From the first of a pair to the second a line is level, from there to the next pair it goes from one column to the next.
    """

    places: tuple[Point, ...]
    routes: tuple[tuple[Point, ...], ...]
    width: float
    height: float


def lay_out(sizes: Sequence[Size], columns: Sequence[int], lines: Sequence[tuple[int, int]]) -> Layout:
    """Places for things in these columns (0 is the left one); each line goes from a column to one right of it."""
    width, height, column = [s.width for s in sizes], [s.height for s in sizes], list(columns)
    paths: list[list[int]] = []
    for source, target in lines:
        between = range(columns[source] + 1, columns[target])
        path = [source, *range(len(column), len(column) + len(between)), target]
        column += between
        width += [0.0] * len(between)
        height += [0.0] * len(between)
        paths.append(path)
    before: list[list[int]] = [[] for _ in column]
    after: list[list[int]] = [[] for _ in column]
    for path in paths:
        for one, other in pairwise(path):
            after[one].append(other)
            before[other].append(one)
    rows = [[at for at in range(len(column)) if column[at] == one] for one in range(max(column, default=-1) + 1)]
    _order(rows, before, after)
    middle = _middles(rows, height, before, after)
    left = [0.0]
    for row in rows:
        left.append(left[-1] + max(width[at] for at in row) + COLUMN)
    wide = [left[at + 1] - left[at] - COLUMN for at in range(len(rows))]
    x = [left[column[at]] + (wide[column[at]] - width[at]) / 2 for at in range(len(column))]
    top = min((middle[at] - height[at] / 2 for at in range(len(column))), default=0.0)

    def level(at: int, start: float, end: float) -> tuple[Point, Point]:
        return Point(start, middle[at] - top), Point(end, middle[at] - top)

    def right(at: int) -> float:
        return left[column[at]] + wide[column[at]]

    routes = []
    for source, *passed, target in paths:
        route = [*level(source, x[source] + width[source], right(source))]
        for at in passed:
            route += level(at, left[column[at]], right(at))
        routes.append((*route, *level(target, left[column[target]], x[target])))
    return Layout(
        tuple(Point(x[at], middle[at] - height[at] / 2 - top) for at in range(len(sizes))),
        tuple(routes),
        max(left[-1] - COLUMN, 0.0),
        max((middle[at] + height[at] / 2 - top for at in range(len(column))), default=0.0),
    )


def _order(rows: list[list[int]], before: Sequence[Sequence[int]], after: Sequence[Sequence[int]]) -> None:
    """Sort each column by the mean row of what it is joined with, to the right and back, as long as fewer lines cross."""
    best, fewest = [list(row) for row in rows], _crossings(rows, after)
    for sweep in range(SWEEPS):
        ahead = sweep % 2 == 0
        neighbours = before if ahead else after
        for row in rows if ahead else reversed(rows):
            rank = {at: place for column in rows for place, at in enumerate(column)}
            row.sort(key=lambda at: sum(rank[n] for n in neighbours[at]) / len(neighbours[at]) if neighbours[at] else rank[at])
        if (crossing := _crossings(rows, after)) < fewest:
            best, fewest = [list(row) for row in rows], crossing
    rows[:] = best


def _crossings(rows: Sequence[Sequence[int]], after: Sequence[Sequence[int]]) -> int:
    rank = {at: place for column in rows for place, at in enumerate(column)}
    total = 0
    for row in rows:
        ends = [rank[other] for at in row for other in sorted(after[at], key=rank.__getitem__)]
        total += sum(a > b for place, a in enumerate(ends) for b in ends[place + 1 :])
    return total


def _middles(
    rows: Sequence[Sequence[int]], height: Sequence[float], before: Sequence[Sequence[int]], after: Sequence[Sequence[int]]
) -> list[float]:
    """The middle of each thing, from the top. What is joined is level where there is room for it."""
    middle = [0.0] * len(height)
    apart = [[(height[a] + height[b]) / 2 + GAP for a, b in pairwise(row)] for row in rows]
    for row, gaps in zip(rows, apart, strict=True):
        for a, b, gap in zip(row, row[1:], gaps, strict=False):
            middle[b] = middle[a] + gap
    for sweep in range(SWEEPS):
        neighbours = (before, after)[sweep % 2]
        for row, gaps in zip(rows, apart, strict=True):
            near = [neighbours[at] or (at,) for at in row]
            wanted = [sum(middle[n] for n in some) / len(some) for some in near]
            for at, where in zip(row, _spread(wanted, gaps), strict=True):
                middle[at] = where
    return middle


def _spread(wanted: Sequence[float], gaps: Sequence[float]) -> list[float]:
    """Places at least `gaps` apart with the least squared distance from those wanted: pool adjacent violators."""
    shift = [0.0]
    for gap in gaps:
        shift.append(shift[-1] + gap)
    pools: list[tuple[float, int]] = []  # sum, count
    for want, moved in zip(wanted, shift, strict=False):
        total, count = want - moved, 1
        while pools and pools[-1][0] * count >= total * pools[-1][1]:
            one, many = pools.pop()
            total, count = total + one, count + many
        pools.append((total, count))
    level = [total / count for total, count in pools for _ in range(count)]
    return [at + moved for at, moved in zip(level, shift, strict=False)]

"""Counters and histograms that cost an addition: plain integers under a tuple of label values.

A metrics SDK's instruments take a lock and build an attribute set per event, which is more than a branch of a fan-out may
cost in all. So events only add, and everything that is expensive happens when somebody asks.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, TypeAlias

Key: TypeAlias = tuple[str, ...]
"""Label values, in the order of the family's label names."""


class Described(NamedTuple):
    """What a family of series is called. `name` is the full Prometheus name, unit and `_total` included."""

    name: str
    help: str
    labels: Key = ()


class Example(NamedTuple):
    """One observation that can be looked up: its value in the histogram's own unit, and its trace."""

    value: int
    trace_id: str


class Counter:
    """Only grows."""

    __slots__ = ("about", "values")

    def __init__(self, name: str, text: str, labels: Key = ()) -> None:
        self.about: Final = Described(name, text, labels)
        self.values: dict[Key, int] = {} if labels else {(): 0}

    def add(self, key: Key = (), amount: int = 1) -> None:
        """Count; `amount` ≥ 0."""
        values = self.values
        values[key] = values.get(key, 0) + amount


class Gauge:
    """Is read when somebody asks. `read` gives every series that there is now."""

    __slots__ = ("about", "read")

    def __init__(self, name: str, text: str, read: Callable[[], Mapping[Key, float]], labels: Key = ()) -> None:
        self.about: Final = Described(name, text, labels)
        self.read: Final = read


class Tally:
    """A counter that somebody else keeps: it is read when somebody asks, and only grows."""

    __slots__ = ("about", "read")

    def __init__(self, name: str, text: str, read: Callable[[], Mapping[Key, int]], labels: Key = ()) -> None:
        self.about: Final = Described(name, text, labels)
        self.read: Final = read


class Buckets:
    """One series of a histogram: a count per bucket (not cumulative; the last is +Inf), the sum, and an example per bucket."""

    __slots__ = ("counts", "examples", "total")

    def __init__(self, size: int) -> None:
        self.counts = [0] * size
        self.examples: list[Example | None] = [None] * size
        self.total = 0


class Histogram:
    """Observations are integers; `scale` of them make one unit of the exposition (ns and 10⁹: seconds).

    `bounds` are inclusive upper limits in the observations' own unit, rising.
    """

    __slots__ = ("about", "bounds", "scale", "series")

    def __init__(self, name: str, text: str, labels: Key, bounds: tuple[int, ...], scale: int) -> None:
        self.about: Final = Described(name, text, labels)
        self.bounds: Final = bounds
        self.scale: Final = scale
        self.series: dict[Key, Buckets] = {}

    def add(self, key: Key, value: int, trace_id: str = "") -> None:
        """Observe. With a `trace_id` (a recorded one) the observation becomes its bucket's example."""
        series = self.series.get(key)
        if series is None:
            series = self.series[key] = Buckets(len(self.bounds) + 1)
        at = bisect_left(self.bounds, value)
        series.counts[at] += 1
        series.total += value
        if trace_id:
            series.examples[at] = Example(value, trace_id)

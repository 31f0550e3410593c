"""What a merge is: the types between the fold and the files in `merges/`.

A merge is a function of the set of results and the plan order, never of arrival (but for the one that says so): two runs
with the same answers must give the same result, whoever was faster. So inputs are put in plan order here, once, and no
merge can forget to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, NamedTuple

from aggregator.engine.jsons import what
from fanmesh.model.merge import Conflict
from fanmesh.model.values import JsonValue, Opaque, Value


class MergeInput(NamedTuple):
    """One branch's value. `arrival` is its place in the order of completion; `defaulted`: a default stands in for it.

    `confidence`: what its worker said of it, in [0, 1]; 0.0 if it said nothing, and for a default. `digest`: what the merge
    made of the value when it came, if it makes something; whoever does not have it leaves None.
    """

    branch: str
    value: Value
    arrival: int
    defaulted: bool = False
    confidence: float = 0.0
    digest: Any = None


class Merged(NamedTuple):
    """What came of it. `merged` are the branches whose values are part of it; `error`: why there is no value."""

    value: Value
    conflicts: tuple[Conflict, ...] = ()
    merged: tuple[str, ...] = ()
    error: str = ""


class MergeError(ValueError):
    """Options that a merge does not understand. `path` leads into the options, `message` says what would be right."""

    def __init__(self, path: tuple[str | int, ...], message: str) -> None:
        super().__init__(f"{'.'.join(map(str, path))}: {message}" if path else message)
        self.path = path
        self.message = message


class Strategy(NamedTuple):
    """What a merge's file makes of its options.

    `combine` gets the inputs in plan order and must not change or share them. `accepts` says why the merge cannot take a
    branch's value; None = it can. `needs_fields`: it reads inside values. `arrival_dependent`: it looks at `arrival`.
    `digest`: the part of the work that needs one value only (an accepted one). It is done when a branch ends instead of when
    all have, and once instead of per snapshot; `combine` finds it in the input, must not change it, and it is never None.
    """

    combine: Callable[[Sequence[MergeInput]], Merged]
    accepts: Callable[[str, Value], str | None]
    needs_fields: bool = True
    arrival_dependent: bool = False
    digest: Callable[[Value], Any] | None = None


@dataclass(frozen=True, slots=True)
class Merge:
    """A merge with its options, for one plan."""

    kind: str
    strategy: Strategy
    order: dict[str, int]

    @property
    def needs_fields(self) -> bool:
        """Whether it reads inside values, so that opaque ones are refused."""
        return self.strategy.needs_fields

    @property
    def arrival_dependent(self) -> bool:
        """Whether the order of completion decides."""
        return self.strategy.arrival_dependent

    def accepts(self, branch: str, value: Value) -> str | None:
        """Why it cannot take that value from that branch; None = it can."""
        return self.strategy.accepts(branch, value)

    def merge(self, inputs: Sequence[MergeInput]) -> Merged:
        """Merge values that it accepts, given in any order. The result shares nothing with them."""
        order = self.order
        places = [order[given.branch] for given in inputs]
        if places != sorted(places):
            inputs = sorted(inputs, key=lambda given: order[given.branch])
        digest = self.strategy.digest
        if digest is not None:
            inputs = [one if one.digest is not None else one._replace(digest=digest(one.value)) for one in inputs]
        return self.strategy.combine(inputs)


def anything(_branch: str, _value: Value) -> str | None:
    """Takes every value, even one that nobody can open."""
    return None


def json_only(branch: str, value: Value) -> str | None:
    """Takes every JSON value."""
    return f"{branch} is {what(value)}, which cannot be part of a JSON result" if isinstance(value, Opaque) else None


def maps_only(branch: str, value: Value) -> str | None:
    """Takes maps, and null as a map with nothing in it."""
    return None if isinstance(value, dict | None) else f"{branch} is {what(value)}, and only maps can be merged by field"


def lists_only(branch: str, value: Value) -> str | None:
    """Takes lists, and null as a list with nothing in it."""
    return None if isinstance(value, list | None) else f"{branch} is {what(value)}, and only lists can be joined"


def no_options(kind: str, options: JsonValue) -> None:
    """MergeError unless there are none."""
    if options not in (None, {}):
        raise MergeError((), f"{kind} takes no options; write `merge: {kind}`")


def one_of(name: JsonValue, known: Sequence[str], sort: str, path: tuple[str | int, ...]) -> str:
    """`name`, if it is known; else a MergeError that lists what is, and guesses what was meant."""
    if isinstance(name, str) and name in known:
        return name
    close = get_close_matches(name, known, n=1) if isinstance(name, str) else []
    guess = f", did you mean {close[0]!r}" if close else ""
    raise MergeError(path, f"no {sort} {name!r}{guess}; there are {', '.join(known)}")

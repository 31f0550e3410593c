"""What the fold costs per branch: from Start to Result for N unary branches, all answering. Should be flat in N."""

from __future__ import annotations

from aggregator.engine.fold import Fold
from bench.kit.best import best
from bench.kit.plans import WIDTHS
from fanmesh.model.completion import CompletionRule
from fanmesh.model.events import Alarm, Change, End, Event, FoldNode, Happening, Start
from fanmesh.model.merge import MergeSpec
from fanmesh.model.states import AlarmKind, BranchState, ChangeKind
from fanmesh.model.times import MS
from fanmesh.model.values import JsonValue

ANSWER: dict[str, JsonValue] = {"country": "DE", "valid": True, "score": 0.5}


def log(branches: int, merge: str, *, soft: bool) -> list[Event]:
    """A whole request's log: start, N times started, N times ended."""
    names = [f"b{number}" for number in range(branches)]
    nodes = tuple(FoldNode(name, required=at == 0, soft=300 * MS if soft else None) for at, name in enumerate(names))
    start = Start("r", "bench", nodes, 1_000 * MS, 1_025 * MS, CompletionRule(), MergeSpec(merge))
    what: list[Happening] = [start, *(Change(name, ChangeKind.STARTED) for name in names)]
    ends = [End(name, 0, BranchState.SUCCEEDED, value=dict(ANSWER)) for name in names]
    events = [Event(seq, seq, one) for seq, one in enumerate([*what, *ends], 1)]
    return [*events, Event(len(events) + 1, 1_000 * MS, Alarm(AlarmKind.STOP))]


def fold(events: list[Event]) -> None:
    """From Start to Result."""
    one = Fold()
    for event in events:
        one.apply(event)


def figures() -> dict[str, dict[str, float]]:
    """µs per branch, by merge and number of branches."""
    out: dict[str, dict[str, float]] = {}
    for merge, soft in (("collect", False), ("collect", True), ("deep_merge", False)):
        row = out[f"fold, {merge}{', softs' if soft else ''}"] = {}
        for branches in WIDTHS:
            events = log(branches, merge, soft=soft)
            row[str(branches)] = best(lambda events=events: fold(events)) / branches  # type: ignore[misc]  # a default argument binds
    return out

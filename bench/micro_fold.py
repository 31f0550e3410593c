"""What the fold costs per branch: µs of CPU from Start to Result for N unary branches, all answering. Should be flat in N.

The best of many short runs, since everything else on the machine can only add to it.
"""

from __future__ import annotations

from time import perf_counter

from aggregator.engine.fold import Fold
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


def best(events: list[Event], rounds: int = 200, batch: int = 10) -> float:
    """Seconds for one fold of the log: the best batch."""
    found = float("inf")
    for _ in range(rounds):
        began = perf_counter()
        for _ in range(batch):
            fold = Fold()
            for event in events:
                fold.apply(event)
        found = min(found, (perf_counter() - began) / batch)
    return found


def main() -> None:
    """Print one line per merge and N."""
    print(f"{'merge':12} {'soft':5} {'N':>3} {'µs/request':>11} {'µs/branch':>10}")
    for merge, soft in (("collect", False), ("collect", True), ("deep_merge", False)):
        for branches in (5, 10, 50):
            took = best(log(branches, merge, soft=soft)) * 1e6
            print(f"{merge:12} {soft!s:5} {branches:3} {took:11.1f} {took / branches:10.2f}")


if __name__ == "__main__":
    main()

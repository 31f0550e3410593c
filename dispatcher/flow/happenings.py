"""A branch's books as entries of the event log, and what they say about the world once the request is over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from dispatcher.flow.expansion import Expansion
from dispatcher.layers.types import Attempt, BranchRun
from fanmesh.model.coverage import Tally, leaf_tallies
from fanmesh.model.endings import with_default
from fanmesh.model.events import End, PartArrived
from fanmesh.model.outcome import Part, Success
from fanmesh.model.states import BranchState
from fanmesh.model.usage import NOTHING


def end_of(run: BranchRun, *, streamed: bool) -> End:
    """How a branch has ended: by the attempt that decided, or the last one. `streamed`: the parts in the log are its answer."""
    attempt = run.deciding or (run.attempts[-1] if run.attempts else None)
    number = attempt.number if attempt is not None else 0
    trace = (attempt.trace if attempt is not None else None) or run.trace
    span_id, flags = (trace.span_id, trace.flags) if trace is not None else (b"", 0)
    branch, state, reason, outcome = run.node.id, run.state, run.reason, run.outcome
    if isinstance(outcome, Success):
        value = None if streamed else outcome.value
        sure, usage = outcome.confidence, outcome.usage
        return End(branch, number, state, reason, value, streamed, sure, usage, 0, "", span_id, flags, run.item)
    code, detail = (0, "") if outcome is None else (int(outcome.code), outcome.detail)
    return End(branch, number, state, reason, None, streamed, None, NOTHING, code, detail, span_id, flags, run.item)


def part_of(run: BranchRun, attempt: Attempt, part: Part) -> PartArrived:
    """A part that fits; the attempt has counted it already."""
    trace = attempt.trace or run.trace
    span_id, flags = (trace.span_id, trace.flags) if trace is not None else (b"", 0)
    number = attempt.parts - 1
    return PartArrived(run.node.id, attempt.number, number, part.replace, part.value, part.confidence, span_id, flags, run.item)


def wrote(runs: Iterable[BranchRun]) -> bool:
    """Whether a write may have reached a worker, so that repeating the request may repeat it."""
    return any(run.node.writes and any(attempt.arrived for attempt in run.made) for run in runs)


def tallies(nodes: Iterable[BranchRun], expansions: Mapping[int, Expansion]) -> Iterator[Tally]:
    """What coverage needs to know of each branch, and of each leaf."""
    for run in nodes:
        state = with_default(run.state, run.reason, run.if_missing)
        expansion = expansions.get(run.index)
        if expansion is None or not expansion.runs:
            yield Tally(state, run.reason, run.node.weight, run.started_at is not None)
        else:
            leaves = ((_defaulted(leaf), leaf.reason, leaf.started_at is not None) for leaf in expansion.runs)
            yield from leaf_tallies(leaves, len(expansion.runs), run.node.weight, state, run.reason)


def _defaulted(run: BranchRun) -> BranchState:
    return with_default(run.state, run.reason, run.if_missing)

"""What a branch that has ended is to those that read it."""

from __future__ import annotations

from typing import Any

import pytest

from aggregator.engine.accumulate import Accumulator
from dispatcher.flow.answers import Answer, answer_of, view_of
from dispatcher.flow.sink import BranchSink
from dispatcher.layers.types import BranchRun
from dispatcher.model.plan import Node, Plan, Worker
from dispatcher.model.request import Request
from fanmesh.model.fault import Code, Fault, FaultKind
from fanmesh.model.outcome import Outcome, Part, Success
from fanmesh.model.states import BranchReason, BranchState, IfMissing
from tests.kit.story import NoInput, attempt_of

R, S = BranchReason, BranchState

FAILED = Fault(FaultKind.WORKER_ERROR, Code.INTERNAL)
BROKEN = Fault(FaultKind.STREAM_BROKEN, Code.UNAVAILABLE)
STREAMED = Success(None, 0.5, streamed=True)


def branch(state: BranchState, reason: BranchReason, outcome: Outcome | None, **fields: Any) -> BranchRun:
    """It has ended so."""
    node = Node("geo", Worker("w", streams=True), **fields)
    run = BranchRun(Request("r", "p", NoInput(), 0), Plan("p", (node,)), node, 0, 9000, lambda *_: None)
    run.state, run.reason, run.outcome = state, reason, outcome
    return run


def streamed(run: BranchRun, *parts: Any) -> BranchSink:
    """These parts have come from it."""
    sink, attempt = BranchSink(run, Accumulator(), lambda *_: None, lambda _: True), attempt_of(run)
    for seq, part in enumerate(parts):
        sink.part(Part(part, False, seq), attempt)
    return sink


USE = {"if_missing": IfMissing.USE, "default": 7}


@pytest.mark.parametrize(
    ("run", "parts", "answer", "view"),
    [
        (branch(S.SUCCEEDED, R.NONE, Success(3, 0.25)), None, Answer(3), (True, "SUCCEEDED", 0.25, 3)),
        (branch(S.SUCCEEDED, R.NONE, Success(3)), None, Answer(3), (True, "SUCCEEDED", 0.0, 3)),
        (branch(S.FELL_BACK, R.NONE, Success(3)), None, Answer(3), (True, "FELL_BACK", 0.0, 3)),
        (branch(S.SUCCEEDED, R.NONE, STREAMED), ([1], [2]), Answer([1, 2]), (True, "SUCCEEDED", 0.5, [1, 2])),
        (branch(S.SUCCEEDED, R.NONE, Success(9, streamed=True)), None, Answer(9), (True, "SUCCEEDED", 0.0, 9)),
        (branch(S.SUCCEEDED, R.NONE, Success([0]), discard_broken=True), ([1],), Answer([0]), (True, "SUCCEEDED", 0.0, [0])),
        (branch(S.FAILED, R.WORKER_ERROR, FAILED), None, None, (False, "FAILED", 0.0, {})),
        (branch(S.FAILED, R.WORKER_ERROR, FAILED, **USE), None, Answer(7), (False, "DEFAULTED", 0.0, 7)),
        (branch(S.FAILED, R.STREAM_BROKEN, BROKEN), ([1],), Answer([1], whole=False), (False, "FAILED", 0.0, [1])),
        (branch(S.FAILED, R.STREAM_BROKEN, BROKEN), (), None, (False, "FAILED", 0.0, {})),
        (branch(S.FAILED, R.STREAM_BROKEN, BROKEN), None, None, (False, "FAILED", 0.0, {})),
        (branch(S.FAILED, R.STREAM_BROKEN, BROKEN, discard_broken=True), ([1],), None, (False, "FAILED", 0.0, {})),
        (branch(S.FAILED, R.STREAM_BROKEN, BROKEN, **USE), ([1],), Answer(7), (False, "DEFAULTED", 0.0, 7)),
        (branch(S.TIMED_OUT, R.HARD_TIMEOUT, None), ([1],), None, (False, "TIMED_OUT", 0.0, {})),
        (branch(S.TIMED_OUT, R.HARD_TIMEOUT, None, **USE), ([1],), Answer(7), (False, "DEFAULTED", 0.0, 7)),
        (branch(S.SKIPPED, R.CONDITION, None, **USE), None, None, (False, "SKIPPED", 0.0, {})),
        (branch(S.SKIPPED, R.CONDITION_ERROR, None, **USE), None, Answer(7), (False, "DEFAULTED", 0.0, 7)),
        (branch(S.SKIPPED, R.UPSTREAM_MISSING, None), None, None, (False, "SKIPPED", 0.0, {})),
        (branch(S.SKIPPED, R.NOT_STARTED_NO_TIME, FAILED, **USE), None, Answer(7), (False, "DEFAULTED", 0.0, 7)),
        (branch(S.REJECTED, R.BREAKER_OPEN, FAILED), None, None, (False, "REJECTED", 0.0, {})),
    ],
)
def test_what_there_is_of_it(
    run: BranchRun, parts: tuple[Any, ...] | None, answer: Answer | None, view: tuple[bool, str, float, Any]
) -> None:
    """Its answer, its default, the parts that were kept, or nothing; and expressions see it whichever it is."""
    found = answer_of(run, (), {} if parts is None else {run.index: streamed(run, *parts)})
    assert found == answer
    assert tuple(view_of(run, found, ()).values()) == view

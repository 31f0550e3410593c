"""Plans, requests and endings: what they work out by themselves."""

from __future__ import annotations

import pytest

from dispatcher.model.endings import OF_FAULT, ending_of
from dispatcher.model.plan import Node, Plan, Worker
from dispatcher.model.reading import Reading, Unreadable
from dispatcher.model.request import Trace
from fanmesh.model.completion import CompletionRule, Until, UntilKind
from fanmesh.model.events import FoldNode
from fanmesh.model.fault import Code, Fault, FaultKind
from fanmesh.model.outcome import Success
from fanmesh.model.states import BranchReason, BranchState, IfMissing
from fanmesh.model.values import Value

W = Worker("w")


def test_a_plan_prepares_what_the_fold_needs() -> None:
    """A plan has its fold nodes ready, required ones without a soft timeout, and knows its longest soft timeout."""
    plan = Plan(
        "p",
        (
            Node("a", W, required=True, soft=5),
            Node("b", W, soft=3, weight=2.0),
            Node("c", W, if_missing=IfMissing.USE, default=1),
        ),
        completion=CompletionRule((Until(UntilKind.FIRST),)),
    )
    assert plan.fold_nodes == (
        FoldNode("a", 1.0, required=True),
        FoldNode("b", 2.0, soft=3),
        FoldNode("c", if_missing=IfMissing.USE, default=1),
    )
    assert (plan.longest_soft, plan.until) == (5, (Until(UntilKind.FIRST),))
    assert plan.accepts("a", object()) is None  # type: ignore[arg-type]  # it takes anything at all


def test_an_empty_plan_has_no_soft_timeout() -> None:
    """The longest soft timeout of no node is 0."""
    assert Plan("p", ()).longest_soft == 0


@pytest.mark.parametrize(
    ("discard", "mapped", "whole"), [(False, False, False), (True, False, True), (False, True, True), (True, True, True)]
)
def test_which_streams_are_held_back(discard: bool, mapped: bool, whole: bool) -> None:  # noqa: FBT001  (a table)
    """Parts are held back where the stream is to be discarded if it breaks, or mapped as a whole."""
    assert Node("a", W, discard_broken=discard, output=(lambda _: None) if mapped else None).whole_only is whole


@pytest.mark.parametrize("kind", FaultKind)
def test_every_fault_has_an_ending(kind: FaultKind) -> None:
    """Every kind of fault has a state and a reason, none of them good."""
    state, reason = ending_of(Fault(kind, Code.INTERNAL))
    assert (state, reason) == OF_FAULT[kind]
    assert state not in (BranchState.SUCCEEDED, BranchState.PENDING)
    assert reason is not BranchReason.NONE


def test_a_success_has_no_reason() -> None:
    """Answered: SUCCEEDED, no reason."""
    assert ending_of(Success(1)) == (BranchState.SUCCEEDED, BranchReason.NONE)


@pytest.mark.parametrize("kind", list(FaultKind))
def test_what_stands_in_keeps_the_reason(kind: FaultKind) -> None:
    """An older answer in the place of a failure: FELL_BACK, for the reason that the failure would have had."""
    fault = Fault(kind, Code.INTERNAL)
    assert ending_of(Success(1, instead=fault)) == (BranchState.FELL_BACK, ending_of(fault)[1])


def test_a_trace_knows_its_id() -> None:
    """The trace id is the second field of a traceparent; empty without one."""
    assert Trace("00-0123456789abcdef0123456789abcdef-0123456789abcdef-01").trace_id == "0123456789abcdef0123456789abcdef"
    assert Trace().trace_id == ""


class Counting:
    """An input that counts how often it is opened."""

    def __init__(self) -> None:
        self.opened = 0

    @property
    def value(self) -> Value:
        """The value."""
        self.opened += 1
        return {"n": 1}


def test_the_input_is_opened_when_it_is_read() -> None:
    """A reading opens the input only for an expression that asks for it."""
    source = Counting()
    reading = Reading(source, {"a": "b"}, [1])
    assert (reading.attributes, reading.output, source.opened) == ({"a": "b"}, [1], 0)
    assert (reading.input, source.opened) == ({"n": 1}, 1)
    assert Unreadable("why").message == "why"


@pytest.mark.parametrize(
    ("trace", "sent"),
    [
        (Trace(), ()),
        (Trace("00-ab", "k=v", sampled=True), ()),
        (Trace("00-ab"), (("traceparent", "00-ab"),)),
        (Trace("00-ab", "k=v"), (("traceparent", "00-ab"), ("tracestate", "k=v"))),
    ],
)
def test_an_unsampled_trace_is_handed_on(trace: Trace, sent: tuple[tuple[str, str], ...]) -> None:
    """The context of a request that is not sampled travels as it came; a sampled one has its own context per attempt."""
    assert trace.headers() == sent

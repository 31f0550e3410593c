"""What is decided about a node before it is sent."""

from __future__ import annotations

import pytest

from dispatcher.flow.ports import Engine
from dispatcher.flow.prepare import fate_of, is_required, must_answer, sheds, soft_of, start_event
from dispatcher.layers.types import BranchRun
from dispatcher.model.deadlines import Deadlines
from dispatcher.model.plan import Node, Plan, Worker
from dispatcher.model.reading import Unreadable
from dispatcher.model.request import Request, Tightening
from dispatcher.policies.overload import Stage
from fanmesh.model.completion import CompletionRule
from fanmesh.model.states import BranchReason, IfMissing
from fanmesh.payload import Box
from tests.kit.plans import Seen
from tests.kit.story import NoInput

R = BranchReason
WRONG = Unreadable("no such key: x")
LONG = Deadlines(1000, 1000)


def engine(stage: Stage = Stage.CALM) -> Engine:
    """As much of one as is asked here; nothing of it runs."""
    nothing = None
    return Engine(nothing, nothing, nothing, nothing, Box.of, nothing, Seen(), lambda: stage)  # type: ignore[arg-type]


def node(**fields: object) -> Node:
    """Node `a`."""
    return Node("a", Worker("w"), **fields)  # type: ignore[arg-type]  # passed on


def asked(tightening: Tightening | None = None) -> Request:
    """A request for plan `p`."""
    return Request("r", "p", NoInput(), 0, tightening=tightening or Tightening())


def run_of(one: Node, *others: Node, tightening: Tightening | None = None) -> BranchRun:
    """It has not begun."""
    return BranchRun(asked(tightening), Plan("p", (one, *others)), one, 0, 1000, lambda *_: None)


@pytest.mark.parametrize(
    ("fields", "fate", "told"),
    [
        ({}, R.NONE, []),
        ({"condition": lambda _: True}, R.NONE, []),
        ({"condition": lambda _: False}, R.CONDITION, []),
        ({"condition": lambda _: WRONG}, R.CONDITION_ERROR, ["if"]),
        ({"input": lambda _: {"k": 1}}, R.NONE, []),
        ({"input": lambda _: WRONG}, R.CONDITION_ERROR, ["input"]),
        ({"condition": lambda _: False, "input": lambda _: WRONG}, R.CONDITION, []),
    ],
)
def test_fate(fields: dict[str, object], fate: BranchReason, told: list[str]) -> None:
    """An `if` before an input; what cannot be evaluated is counted by where it stands."""
    here, run = engine(), run_of(node(**fields))
    assert fate_of(run, here) is fate
    assert here.observer.errors == told  # type: ignore[attr-defined]  # it is a Seen
    assert run.why == "".join(f"{where}: no such key: x" for where in told)
    if "input" in fields and fate is R.NONE:
        assert run.input.value == {"k": 1}


@pytest.mark.parametrize(
    ("fields", "fate"),
    [
        ({}, R.OVERLOAD),
        ({"required": True}, R.NONE),
        ({"if_missing": IfMissing.FAIL}, R.NONE),
        ({"condition": lambda _: False}, R.CONDITION),
    ],
)
def test_what_an_overloaded_process_drops(fields: dict[str, object], fate: BranchReason) -> None:
    """Who would have run, and need not answer."""
    assert fate_of(run_of(node(**fields)), engine(), shed=True) is fate


@pytest.mark.parametrize(
    ("stage", "required", "drops"),
    [(Stage.CALM, True, False), (Stage.NO_OPTIONAL, True, True), (Stage.NO_OPTIONAL, False, False), (Stage.CALM, False, False)],
)
def test_it_drops_only_where_something_is_left(stage: Stage, drops: bool, required: bool) -> None:  # noqa: FBT001  (a table)
    """A plan without a branch that must answer is served whole, or refused at the door."""
    assert sheds([run_of(node(required=required)), run_of(node())], engine(stage)) is drops


@pytest.mark.parametrize(
    ("fields", "tightening", "required", "must"),
    [
        ({}, Tightening(), False, False),
        ({"required": True}, Tightening(), True, True),
        ({}, Tightening(required=frozenset("a")), True, True),
        ({}, Tightening(required=frozenset("b")), False, False),
        ({"if_missing": IfMissing.FAIL}, Tightening(), False, True),
        ({"if_missing": IfMissing.USE}, Tightening(), False, False),
    ],
)
def test_who_must_answer(fields: dict[str, object], tightening: Tightening, required: bool, must: bool) -> None:  # noqa: FBT001
    """The plan or the caller says so; nobody gives up on such a node."""
    one, request = node(soft=300, **fields), asked(tightening)
    assert (is_required(one, request), must_answer(one, request)) == (required, must)
    assert soft_of(one, request, LONG) == (None if must else 300)


def test_a_soft_timeout_leaves_time_to_act_on_it() -> None:
    """At most 0.7 of what there is; without one there is none."""
    assert soft_of(node(soft=300), asked(), Deadlines(100, 100)) == 70
    assert soft_of(node(), asked(), LONG) is None


PLAN = Plan("p", (node(soft=300), Node("b", Worker("w"))), completion=CompletionRule(soft=500, min_coverage=0.5))


def test_a_plan_as_it_is_costs_nothing_again() -> None:
    """Without a tightening, and with time enough, the fold gets the plan's own nodes and rule."""
    start = start_event(PLAN, asked(), LONG)
    assert start.nodes is PLAN.fold_nodes
    assert start.completion is PLAN.completion


@pytest.mark.parametrize(
    ("tightening", "deadlines", "soft", "least", "required", "plan_soft"),
    [
        (Tightening(required=frozenset("b")), LONG, 300, (1, 0.5), [False, True], 500),
        (Tightening(min_success=2), LONG, 300, (2, 0.5), [False, False], 500),
        (Tightening(min_coverage=0.9), LONG, 300, (1, 0.9), [False, False], 500),
        (Tightening(min_coverage=0.1, min_success=0), LONG, 300, (1, 0.5), [False, False], 500),
        (Tightening(), Deadlines(100, 100), 70, (1, 0.5), [False, False], 70),
        (Tightening(), Deadlines(600, 600), 300, (1, 0.5), [False, False], 420),
    ],
)
def test_a_request_may_ask_for_more_and_have_less_time(
    tightening: Tightening,
    deadlines: Deadlines,
    soft: int,
    least: tuple[int, float],
    required: list[bool],
    plan_soft: int,
) -> None:
    """A tightening never loosens; softs shrink with the time there is."""
    start = start_event(PLAN, asked(tightening), deadlines)
    assert [told.soft for told in start.nodes] == [soft, None]
    assert [told.required for told in start.nodes] == required
    assert (start.completion.min_success, start.completion.min_coverage) == least
    assert start.completion.soft == plan_soft

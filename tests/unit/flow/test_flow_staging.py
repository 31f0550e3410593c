"""The fate of a node when its turn has come, ending by ending."""

from __future__ import annotations

from typing import Any

import pytest

from dispatcher.flow.ports import Engine
from dispatcher.flow.schedule import Step, Turn
from dispatcher.flow.staging import Staging
from dispatcher.layers.types import BranchRun
from dispatcher.model.graph import Edges
from dispatcher.model.plan import Effect, Node, Plan, Worker
from dispatcher.model.reading import Unreadable
from dispatcher.model.request import Request
from dispatcher.policies.overload import Stage
from fanmesh.model.fault import Fault
from fanmesh.model.outcome import Success
from fanmesh.model.states import BranchReason, BranchState
from fanmesh.payload import Box
from tests.kit.plans import Seen
from tests.kit.story import NoInput

R, S = BranchReason, BranchState
ASK, START = Turn.ASK, Turn.START


def edges(asks: str = "", feeds: str = "", after: str = "") -> Edges:
    """Those of a node."""
    return Edges(frozenset(asks), frozenset(feeds), frozenset(after))


class Three:
    """Nodes a, b and c; c as it is given. `end` ends one of the others."""

    def __init__(self, stage: Stage = Stage.CALM, *, effect: Effect = Effect.READ, **fields: Any) -> None:
        nodes = Node("a", Worker("w"), required=True), Node("b", Worker("w")), Node("c", Worker("w", effect=effect), **fields)
        plan, request = Plan("p", nodes), Request("r", "p", NoInput(), 0)
        self.runs = [BranchRun(request, plan, node, i, 1000, lambda *_: None) for i, node in enumerate(nodes)]
        assert plan.graph is not None
        engine = Engine(None, None, None, None, Box.of, None, Seen(), lambda: stage)  # type: ignore[arg-type]  # nothing runs
        self.seen = engine.observer
        self.staging = Staging(plan.graph, self.runs, {}, engine)

    def end(self, name: str, value: Any = None) -> list[Step]:
        """It answers `value`, or fails with None."""
        run = self.runs["abc".index(name)]
        run.state, run.reason, run.outcome = (S.SUCCEEDED, R.NONE, Success(value)) if value else (
            S.FAILED, R.WORKER_ERROR, Fault.unavailable("no"),
        )  # fmt: skip
        return self.staging.ended(run.index)

    def fate(self, turn: Turn) -> BranchReason | None:
        """That of c."""
        return self.staging.fate(Step(2, turn))


def test_it_is_asked_before_it_starts_and_not_again() -> None:
    """What it reads is bound for its `if`; that it held is remembered."""
    asked = []

    def condition(reading: Any) -> bool:
        asked.append(dict(reading.branches))
        return True

    here = Three(edges=edges(asks="a", feeds="b"), condition=condition)
    assert here.staging.first() == [Step(0, START), Step(1, START)]
    assert here.end("a", 5) == [Step(2, ASK)]
    assert here.fate(ASK) is None
    assert here.end("b", 6) == [Step(2, START)]
    assert here.fate(START) is R.NONE
    assert asked == [{"a": {"ok": True, "state": "SUCCEEDED", "confidence": 0.0, "output": 5}}]
    assert {name: view["output"] for name, view in here.runs[2].branches.items()} == {"a": 5, "b": 6}


def test_refused_once_it_is_not_asked_again() -> None:
    """Its second turn says nothing."""
    here = Three(edges=edges(asks="a", feeds="b"), condition=lambda _: False)
    here.end("a", 5)
    assert here.fate(ASK) is R.CONDITION
    here.end("b", 6)
    assert here.fate(START) is None


@pytest.mark.parametrize(
    ("fields", "a", "fate"),
    [
        ({"edges": edges(feeds="a")}, 5, R.NONE),
        ({"edges": edges(feeds="a")}, None, R.UPSTREAM_MISSING),
        ({"edges": edges(asks="a")}, None, R.NONE),
        ({"edges": edges(after="a")}, None, R.NONE),
        ({"edges": edges(asks="a"), "condition": lambda _: Unreadable("no")}, 5, R.CONDITION_ERROR),
        ({"edges": edges(feeds="a"), "input": lambda _: Unreadable("no")}, 5, R.CONDITION_ERROR),
        ({"edges": edges(feeds="a"), "input": lambda r: r.branches["a"]["output"]}, 5, R.NONE),
        ({"edges": edges(feeds="a"), "condition": lambda _: False}, None, R.CONDITION),
        ({"edges": edges(feeds="a"), "effect": Effect.WRITE}, 5, R.NONE),
    ],
)
def test_only_what_feeds_a_node_can_be_missing_to_it(fields: dict[str, Any], a: Any, fate: BranchReason) -> None:
    """What it asks, or only follows, is bound however it ended; and its own `if` comes first."""
    here = Three(**fields)
    here.end("a", a)
    assert here.fate(START) is fate
    if fate is R.NONE and "input" in fields:
        assert here.runs[2].input.value == 5


@pytest.mark.parametrize(("fields", "fate"), [({}, R.OVERLOAD), ({"required": True}, R.NONE)])
def test_an_overloaded_process_starts_only_what_must_answer(fields: dict[str, Any], fate: BranchReason) -> None:
    """Decided when a node starts, not when the request came: what was optional then is dropped now."""
    here = Three(Stage.NO_OPTIONAL, edges=edges(after="a"), **fields)
    here.end("a", 5)
    assert here.fate(START) is fate


@pytest.mark.parametrize(("held", "tail"), [(True, 300), (False, 0)])
def test_one_that_is_out_early_needs_no_time(held: bool, tail: int) -> None:  # noqa: FBT001  (a table)
    """Until its `if` is asked a node is left its min_time; once that is false it is not."""
    here = Three(edges=edges(asks="a", feeds="b"), condition=lambda _: held, min_time=300)
    assert (here.staging.tail(0), here.staging.tail(1), here.staging.tail(2)) == (300, 300, 0)
    here.end("a", 5)
    here.fate(ASK)
    assert here.staging.tail(1) == tail

"""Explain over the wire: what would run, and nothing that does."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from fanmesh.model.states import BranchReason, IfMissing
from fanmesh.v1 import dispatcher_pb2
from tests.kit.calls import ask
from tests.kit.mesh import NOWHERE, Mesh, plan, running
from tests.kit.roles import Hanging

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def hanging() -> Hanging:
    """The worker of every branch but one."""
    return Hanging()


@pytest_asyncio.fixture
async def mesh(hanging: Hanging) -> AsyncIterator[Mesh]:
    """A plan with a branch of each kind, reached by name and by a route."""
    branches = plan(
        *("always", "maybe", "gone"),
        budget="1s",
        merge_reserve="100ms",
        always={"worker": "w", "required": True, "weight": 2, "sla": "50ms"},
        maybe={"worker": "w", "if": "input.n > 1", "timeout": "300ms", "soft_timeout": "100ms"},
        gone={"if_missing": {"use": None}},
        complete={"soft_timeout": "400ms"},
        merge="namespace",
    )
    routes = [{"if": 'attributes.task == "enrich"', "plan": "p"}]
    workers = {"w": hanging.worker, "gone": NOWHERE}
    async with running(workers, {"p": branches}, attributes=["task"], routes=routes) as mesh:
        yield mesh


async def explained(mesh: Mesh, request: dispatcher_pb2.DispatchRequest) -> dispatcher_pb2.ExplainResponse:
    """The answer; there is one."""
    answer = await mesh.explain(request)
    assert isinstance(answer, dispatcher_pb2.ExplainResponse)
    return answer


async def test_it_says_what_would_run(mesh: Mesh, hanging: Hanging) -> None:
    """Every node with its worker, condition and deadlines, decided on this input; no worker is called."""
    answer = await explained(mesh, ask(json='{"n": 1}'))
    always, maybe, gone = answer.nodes
    assert (answer.plan, answer.route) == ("p", "")
    assert answer.config_version == mesh.dispatcher.config.version
    assert (answer.total.ToMilliseconds(), answer.stop.ToMilliseconds()) == (1000, 900)
    assert answer.soft_timeout.ToMilliseconds() == 400
    assert answer.merge.kind == "namespace"
    assert (always.branch, always.worker, always.required, always.weight, always.runs) == ("always", "w", True, 2.0, True)
    assert (always.deadline.ToMilliseconds(), always.sla.ToMilliseconds()) == (900, 50)
    assert not always.HasField("soft_timeout")
    assert (maybe.runs, maybe.reason, maybe.condition) == (False, BranchReason.CONDITION, "input.n > 1")
    assert (maybe.deadline.ToMilliseconds(), maybe.soft_timeout.ToMilliseconds()) == (300, 100)
    assert gone.if_missing == IfMissing.USE
    assert (gone.target, list(gone.endpoints)) == ("dns:///127.0.0.1:1", ["127.0.0.1:1"])
    assert all("leaf" in node.layers for node in answer.nodes)
    assert not hanging.called.is_set()
    assert mesh.dispatcher.measures.in_flight == 0


async def test_it_follows_the_input(mesh: Mesh) -> None:
    """Another input, another fate; an expression that fails on it is named."""
    runs = (await explained(mesh, ask(json='{"n": 2}'))).nodes[1]
    fails = (await explained(mesh, ask(json='{"n": "two"}'))).nodes[1]
    assert (runs.runs, runs.reason) == (True, BranchReason.NONE)
    assert (fails.runs, fails.reason) == (False, BranchReason.CONDITION_ERROR)


async def test_it_names_the_route(mesh: Mesh) -> None:
    """Without a plan the routes choose, as for Dispatch."""
    answer = await explained(mesh, ask("", attributes={"task": "enrich"}))
    assert (answer.plan, answer.route) == ("p", 'attributes.task == "enrich"')


async def test_it_applies_what_the_caller_asks(mesh: Mesh) -> None:
    """A tighter budget and a higher floor change the plan that is explained, as they would the one that runs."""
    tight = {"latency": {"nanos": 400_000_000}}
    answer = await explained(mesh, ask(budget=tight, accept={"required": ["maybe"], "min_coverage": 0.9, "min_success": 2}))
    assert (answer.total.ToMilliseconds(), answer.stop.ToMilliseconds()) == (400, 300)
    assert answer.soft_timeout.ToMilliseconds() == 210
    assert answer.nodes[1].required
    assert not answer.nodes[1].HasField("soft_timeout")
    assert (answer.completion.min_success, answer.completion.min_coverage) == (2, 0.9)


async def test_it_says_what_completes(hanging: Hanging) -> None:
    """The rules with their numbers, and the predicate as text."""
    rules = [{"predicate": "coverage > 0.5", "min_interval": "20ms"}, {"confidence": 0.9}, {"quiet": "50ms"}]
    plans = {"p": plan("a", a={"worker": "w"}, complete={"until": rules}), "q": plan("a", a={"worker": "w"})}
    async with running({"w": hanging.worker}, plans) as mesh:
        answer = await explained(mesh, ask("p"))
        assert (answer.predicate, answer.predicate_min_interval.ToMilliseconds()) == ("coverage > 0.5", 20)
        assert [rule.WhichOneof("rule") for rule in answer.completion.until] == ["predicate", "confidence", "quiet"]
        assert answer.completion.until[2].quiet.ToMilliseconds() == 50
        plain = await explained(mesh, ask("q"))
        assert (plain.predicate, plain.HasField("predicate_min_interval")) == ("", False)


@pytest.mark.asyncio
async def test_what_is_not_wanted_is_known_to_those_that_wait_for_it() -> None:
    """The input decides about b; so c has no input, d is not wanted, e is; a has the time that d needed.

    What f would miss is decided when a has ended, too: as in the run, and so it is not known.
    """
    staged = plan(
        *"abcdef",
        budget="1s",
        a={"worker": "w"},
        b={"worker": "w", "if": "input.n > 1"},
        c={"worker": "w", "input": "${branches.b.output}"},
        d={"worker": "w", "if": "branches.b.ok", "input": "${branches.a.output}", "min_time": "500ms"},
        e={"worker": "w", "if": "!branches.b.ok"},
        f={"worker": "w", "input": ["${branches.a.output}", "${branches.b.output}"]},
    )
    async with running({"w": Hanging().worker}, {"p": staged}) as mesh:
        without = (await explained(mesh, ask(json='{"n": 1}'))).nodes
        with_it = (await explained(mesh, ask(json='{"n": 2}'))).nodes
    unwanted, unfed = BranchReason.CONDITION, BranchReason.UPSTREAM_MISSING
    assert [BranchReason(node.reason) for node in without] == [0, unwanted, unfed, unwanted, 0, 0]
    assert [node.runs for node in without] == [True, False, False, False, True, True]
    assert not any(node.conditional for node in without)
    assert without[0].ends_by.ToMilliseconds() == 975
    assert all(node.runs for node in with_it)
    assert [node.conditional for node in with_it] == [False, False, False, True, True, False]
    assert with_it[0].ends_by.ToMilliseconds() == 475


async def test_it_says_who_waits_for_whom() -> None:
    """What an `if` asks, what feeds an input or an output, what only has to end before; and by when, for those that follow."""
    staged = {
        "budget": {"latency": "1s"},
        "stages": [
            {"a": {"worker": "w"}, "b": {"worker": "w", "timeout": "200ms"}},
            {
                "c": {"worker": "w", "input": "${branches.a.output}", "min_time": "300ms"},
                "d": {"worker": "w", "if": "branches.a.ok", "output": "${[output, branches.b.output]}", "timeout": "100ms"},
            },
        ],
    }
    async with running({"w": Hanging().worker}, {"p": staged}) as mesh:
        a, b, c, d = (await explained(mesh, ask())).nodes
    assert [list(node.waits_for) for node in (a, b, c, d)] == [[], [], ["a", "b"], ["a", "b"]]
    assert [(list(node.asks), list(node.feeds)) for node in (c, d)] == [([], ["a"]), (["a"], ["b"])]
    assert [node.conditional for node in (a, b, c, d)] == [False, False, False, True]
    assert [node.ends_by.ToMilliseconds() for node in (a, b, c, d)] == [675, 675, 975, 975]
    assert [node.deadline.ToMilliseconds() for node in (a, b, c, d)] == [675, 200, 975, 100]
    assert c.min_time.ToMilliseconds() == 300
    assert not d.HasField("min_time")

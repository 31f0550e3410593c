"""What a request asks for: routes, expressions on its input, a higher floor, and the ways in which it is turned down."""

from __future__ import annotations

from typing import Any

import pytest

from dispatcher.flow.dispatch import dispatch
from dispatcher.flow.ports import Reply
from dispatcher.model.request import Request, Tightening
from fanmesh.model.events import Start
from fanmesh.model.fault import Code
from fanmesh.model.states import BranchReason, BranchState, CompletedBy, EmitMode
from fanmesh.model.values import Malformed, Value
from fanmesh.testing import Lab, computes, ends, fails, hangs, ms, run_virtual
from tests.kit.plans import Recorder, plan, watched

R, S, C = BranchReason, BranchState, CompletedBy


class Bad:
    """An input that turns out to be malformed when it is opened."""

    @property
    def value(self) -> Value:
        """Cannot be read."""
        raise Malformed("input.n: 1e999 is no number")


async def ask(lab: Lab, name: str, *, source: Any = None, tightening: Tightening | None = None) -> Reply:
    """A reply as it leaves, refusals before a plan included."""
    request = Request("r", name, source or Bad(), lab.clock.now(), tightening=tightening or Tightening())
    return await dispatch(lab._engine, lab.config.catalogue, request)


@pytest.mark.fanmesh(
    plan({"a": {"input": {"n": "${input.n + 1}", "who": "${attributes.who}", "k": 3}}, "b": {}}, attributes=["who"])
)
async def test_an_input_is_mapped(lab: Lab) -> None:
    """A branch is sent its mapped input, the others the request's own."""
    lab.worker("a").plays(computes(lambda given: given))
    lab.worker("b").plays(computes(lambda given: given))
    r = await lab.dispatch("p", {"n": 1}, attributes={"who": "me"})
    assert r.value == {"a": {"n": 2, "who": "me", "k": 3}, "b": {"n": 1}}


@pytest.mark.fanmesh(plan({"a": {"output": {"eur": "${output.units * 2}", "for": "${input.n}"}}}))
async def test_an_output_is_mapped(lab: Lab) -> None:
    """An answer is mapped before it is merged; the mapping sees answer, input and attributes."""
    lab.worker("a").plays(ends({"units": 4}))
    assert (await lab.dispatch("p", {"n": 1})).value == {"a": {"eur": 8, "for": 1}}


@pytest.mark.fanmesh(plan({"a": {"if": "input.n > 1"}, "b": {"if": "has(input.m)"}, "c": {}}))
async def test_an_if_reads_the_input(lab: Lab) -> None:
    """`if` decides before anything is sent; what cannot be evaluated is false with CONDITION_ERROR, and counted."""
    seen = watched(lab)
    for name in "abc":
        lab.worker(name).plays(ends(name))
    assert (await lab.dispatch("p", {"n": 2})).value == {"a": "a", "c": "c"}
    r = await lab.dispatch("p", {"n": "two", "m": None})
    assert r.report["a"].reason is R.CONDITION_ERROR
    assert (lab.worker("a").calls, seen.errors) == ([{"n": 2}], ["if"])


@pytest.mark.fanmesh(plan({"a": {"if": "input.n > 1", "required": True}, "b": {}}))
async def test_a_required_if_that_fails(lab: Lab) -> None:
    """A required branch whose `if` cannot be evaluated has FAILED, and the request with it; nothing was sent."""
    lab.worker("b").plays(ends(1))
    r = await lab.dispatch("p", {"n": "x"})
    assert (r.report["a"].state, r.report["a"].reason, r.code) == (S.FAILED, R.CONDITION_ERROR, Code.UNAVAILABLE)
    assert (r.report.completed_by, r.elapsed, lab.worker("b").calls) == (C.UNREACHABLE, 0, [])


@pytest.mark.fanmesh(plan({"b": {}, "a": {"input": "${int(input.n)}", "required": True}}))
async def test_an_input_mapping_that_fails(lab: Lab) -> None:
    """An input that cannot be mapped is an expression that failed: CONDITION_ERROR, counted under `input`."""
    seen = watched(lab)
    r = await lab.dispatch("p", {"n": "x"})
    assert (r.report["a"].state, r.report["a"].reason, seen.errors) == (S.FAILED, R.CONDITION_ERROR, ["input"])
    assert (r.report["b"].state, r.report["b"].started_after) == (S.SKIPPED, None)


@pytest.mark.fanmesh(plan({"a": {"if": "input.n > 1"}, "b": {}}))
async def test_a_malformed_input_is_the_callers_mistake(lab: Lab) -> None:
    """An expression that reads a malformed input: INVALID_ARGUMENT, naming the field, and nothing was sent."""
    reply = await ask(lab, "p")
    assert reply.refusal is not None
    assert (reply.refusal.code, reply.refusal.reason, reply.report) == (Code.INVALID_ARGUMENT, "INPUT_INVALID", None)
    assert "input.n" in reply.refusal.message
    assert lab.worker("b").calls == []


@pytest.mark.fanmesh(plan("a"))
async def test_an_unknown_plan(lab: Lab) -> None:
    """A plan that does not exist: NOT_FOUND, with the nearest name."""
    reply = await ask(lab, "pp")
    assert reply.refusal is not None
    assert (reply.refusal.code, reply.refusal.reason) == (Code.NOT_FOUND, "PLAN_UNKNOWN")
    assert "'p'" in reply.refusal.message
    assert reply.completed_by is None


@pytest.mark.fanmesh(plan("a"))
async def test_a_tightening_of_an_unknown_branch(lab: Lab) -> None:
    """`accept.required` may name the plan's branches only."""
    reply = await ask(lab, "p", tightening=Tightening(required=frozenset({"zz", "a"})))
    assert reply.refusal is not None
    assert (reply.refusal.code, reply.refusal.reason) == (Code.INVALID_ARGUMENT, "INPUT_INVALID")
    assert dict(reply.refusal.metadata) == {"field": "accept.required"}
    assert "zz" in reply.refusal.message


@pytest.mark.fanmesh(plan("a"))
async def test_the_routes_choose(lab: Lab) -> None:
    """Without a plan's name the first route that matches chooses, and the report names it."""
    lab.worker("a").plays(ends(1))
    r = await lab.dispatch()
    assert (r.report.plan, r.report.route) == ("p", "default")


@pytest.mark.fanmesh(plan("a b", accept={"min_success": 1}))
@pytest.mark.parametrize(
    ("tight", "code"),
    [
        (Tightening(), Code.OK),
        (Tightening(min_success=2), Code.UNAVAILABLE),
        (Tightening(min_coverage=0.6), Code.UNAVAILABLE),
        (Tightening(min_coverage=0.5), Code.OK),
        (Tightening(required=frozenset({"b"})), Code.UNAVAILABLE),
        (Tightening(required=frozenset({"a"})), Code.OK),
    ],
)
async def test_a_caller_may_raise_the_floor(lab: Lab, tight: Tightening, code: Code) -> None:
    """`accept` of the caller is added to the plan's."""
    lab.worker("a").plays(ends(1, after=ms(30)))
    lab.worker("b").plays(fails("INTERNAL", after=ms(10)))
    r = await lab.dispatch("p", tightening=tight)
    assert r.code is code
    assert r.report["b"].required is ("b" in tight.required)


@pytest.mark.fanmesh(plan({"a": {"required": True}, "b": {}, "c": {}}, accept={"min_success": 2, "min_coverage": 0.6}))
async def test_a_caller_cannot_lower_it(lab: Lab) -> None:
    """A weaker `accept` of the caller changes nothing."""
    lab.worker("a").plays(ends(1))
    lab.worker("b").plays(fails("INTERNAL"))
    lab.worker("c").plays(fails("INTERNAL"))
    r = await lab.dispatch("p", tightening=Tightening(min_success=1, min_coverage=0.1))
    assert r.code is Code.UNAVAILABLE


@pytest.mark.fanmesh(plan({"a": {"soft_timeout": "50ms"}, "b": {}}))
async def test_what_a_caller_requires_is_waited_for(lab: Lab) -> None:
    """A branch that this caller requires has no soft timeout for this request."""
    lab.worker("a").plays(ends(1, after=ms(200)))
    lab.worker("b").plays(ends(1))
    assert (await lab.dispatch("p")).elapsed == ms(50)
    r = await lab.dispatch("p", tightening=Tightening(required=frozenset({"a"})))
    assert (r.elapsed, r.complete) == (ms(200), True)


@pytest.mark.fanmesh(plan("a b", merge="first"))
async def test_the_merge_that_looks_at_arrival(lab: Lab) -> None:
    """`merge: first` takes the answer that came first."""
    lab.worker("a").plays(ends("slow", after=ms(20)))
    lab.worker("b").plays(ends("fast", after=ms(10)))
    r = await lab.dispatch("p")
    assert (r.value, [row.merged for row in r.report.branches]) == ("fast", [False, True])


@pytest.mark.fanmesh(plan("a b", merge={"deep_merge": {"x": "error"}}))
async def test_a_merge_that_refuses(lab: Lab) -> None:
    """Answers that the merge may not combine: ABORTED with the place, and the account still shows who answered."""
    lab.worker("a").plays(ends({"x": 1}))
    lab.worker("b").plays(ends({"x": 2}))
    r = await lab.dispatch("p")
    assert (r.code, r.reason, r.value) == (Code.ABORTED, "MERGE_CONFLICT", None)
    assert r.coverage.succeeded == 2


@pytest.mark.fanmesh(plan("a b", merge="deep_merge"))
async def test_conflicts_are_reported(lab: Lab) -> None:
    """Where answers disagree the report says so, with what was chosen."""
    lab.worker("a").plays(ends({"x": 1}))
    lab.worker("b").plays(ends({"x": 2, "y": 3}))
    r = await lab.dispatch("p")
    assert r.value == {"x": 1, "y": 3}
    ((path, values, chosen),) = r.report.conflicts
    assert (path, values, chosen) == ("x", {"a": 1, "b": 2}, "a")


def test_the_head_of_the_log() -> None:
    """The start event tells the fold everything it needs: nodes, effective softs, T and stop, the tightened floor."""
    recorder = Recorder()

    async def main() -> None:
        lab = Lab(
            plan(
                {"a": {"soft_timeout": "900ms", "weight": 2}, "b": {"if_missing": {"use": 1}}},
                complete={"soft_timeout": "900ms"},
            ),
            aggregate=recorder.open,
        )
        lab.worker("a").plays(ends(1))
        lab.worker("b").plays(hangs())
        await lab.dispatch("p", timeout=ms(400), tightening=Tightening(min_coverage=0.5), emit=EmitMode.SNAPSHOT)

    run_virtual(main())
    start = recorder.requests[0].log[0].what
    assert isinstance(start, Start)
    assert (start.total, start.stop, start.completion.soft) == (ms(400), ms(375), ms(262.5))
    assert [(node.id, node.weight, node.soft) for node in start.nodes] == [("a", 2.0, ms(262.5)), ("b", 1.0, None)]
    assert (start.completion.min_success, start.completion.min_coverage, start.emit) == (1, 0.5, EmitMode.SNAPSHOT)

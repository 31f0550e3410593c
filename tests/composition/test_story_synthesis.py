"""`merge: {synthesize: …}`: one more branch that is given all the others, and whose answer is the result."""

from __future__ import annotations

from typing import Any

import pytest

from fanmesh.model.fault import Code
from fanmesh.model.states import BranchReason, BranchState, CompletedBy, EmitMode
from fanmesh.testing import Lab, computes, ends, fails, hangs, ms, streams
from tests.kit.plans import plan

R, S, C = BranchReason, BranchState, CompletedBy


def conf(branches: Any = None, *, streaming: tuple[str, ...] = (), **rest: Any) -> dict[str, Any]:
    """A plan of a and b, whose answers w makes one of; `synthesis` has further keys of that."""
    own = {"worker": "w", "min_time": "200ms", **rest.pop("synthesis", {})}
    config = plan({"a": {}, "b": {}} if branches is None else branches, merge={"synthesize": own}, streaming=streaming, **rest)
    for name in ("w", "v"):
        config["workers"].setdefault(name, {"target": "127.0.0.1:1", "effect": "read", "stream": name in streaming})
    return config


@pytest.mark.fanmesh(conf())
async def test_it_starts_when_all_others_have_ended_and_its_answer_is_the_result(lab: Lab) -> None:
    """It is sent branch → answer, in plan order; in the report it is a branch, the last one, and required."""
    lab.worker("a").plays(ends({"x": 1}, after=ms(60)))
    lab.worker("b").plays(ends(2, after=ms(10)))
    lab.worker("w").plays(computes(lambda given: f"{sorted(given)} by w", after=ms(30)))
    r = await lab.dispatch("p")
    assert (r.value, r.elapsed, r.complete, r.report.completed_by) == ("['a', 'b'] by w", ms(90), True, C.ALL)
    assert [list(given.items()) for given in lab.worker("w").calls] == [[("a", {"x": 1}), ("b", 2)]]
    row = r.report.branches[-1]
    assert (row.branch, row.worker, row.state, row.required, row.started_after) == (
        "synthesize",
        "w",
        S.SUCCEEDED,
        True,
        ms(60),
    )
    assert ([one.merged for one in r.report.branches], r.report.conflicts) == ([False, False, True], ())
    assert r.report.critical_path[-1] == "synthesize"
    lab.assert_nothing_left()


@pytest.mark.fanmesh(conf({"a": {}, "b": {}, "c": {"if_missing": {"use": "default"}}, "d": {"if": "false"}}))
async def test_what_is_missing_does_not_make_its_input_missing(lab: Lab) -> None:
    """It is made of what is there: answers and defaults."""
    lab.worker("a").plays(ends(1))
    lab.worker("b").plays(fails("NOT_FOUND"))
    lab.worker("c").plays(fails("NOT_FOUND"))
    lab.worker("w").plays(ends("w"))
    r = await lab.dispatch("p")
    assert (r.value, lab.worker("w").calls) == ("w", [{"a": 1, "c": "default"}])
    assert r.report.degraded.names() == ("defaulted", "error")


@pytest.mark.fanmesh(conf())
async def test_of_nothing_there_is_no_synthesis(lab: Lab) -> None:
    """Nobody has answered: w is not called, and the request fails for what the others failed with."""
    lab.worker("a").plays(fails("NOT_FOUND"))
    lab.worker("b").plays(fails("INTERNAL", after=ms(5)))
    r = await lab.dispatch("p")
    assert (r.report["synthesize"].state, r.report["synthesize"].reason) == (S.SKIPPED, R.CONDITION)
    assert (lab.worker("w").calls, r.code, r.reason) == ([], Code.UNAVAILABLE, "COMPLETION_UNREACHABLE")
    lab.assert_nothing_left()


@pytest.mark.fanmesh(conf(synthesis={"input": {"q": "${input.q}", "of": "${branches.a.output.n}", "ok": "${branches.b.ok}"}}))
async def test_its_own_input_reads_all_branches_whether_they_answered_or_not(lab: Lab) -> None:
    """As an `if` does."""
    lab.worker("a").plays(ends({"n": 4}))
    lab.worker("b").plays(fails("INTERNAL"))
    lab.worker("w").plays(ends({"text": "done"}))
    r = await lab.dispatch("p", {"q": "why"})
    assert lab.worker("w").calls == [{"q": "why", "of": 4, "ok": False}]
    assert r.value == {"text": "done"}


@pytest.mark.fanmesh(conf(synthesis={"output": "${output.text}"}))
async def test_its_answer_may_be_mapped(lab: Lab) -> None:
    """The result is what `output` makes of it."""
    lab.worker("a").plays(ends(1))
    lab.worker("b").plays(ends(2))
    lab.worker("w").plays(ends({"text": "done", "tokens": 7}))
    r = await lab.dispatch("p")
    assert r.value == "done"


@pytest.mark.fanmesh(conf(complete={"soft_timeout": "50ms"}))
async def test_the_others_leave_it_its_min_time(lab: Lab) -> None:
    """Their deadline is stop − 200 ms: b is cut at 775 ms, soft timeouts or not, and w has the rest."""
    lab.worker("a").plays(ends(1))
    b = lab.worker("b").plays(hangs())
    lab.worker("w").plays(ends("w", after=ms(150)))
    r = await lab.dispatch("p")
    assert (r.report["b"].state, r.report["b"].reason, b.cancelled) == (S.TIMED_OUT, R.HARD_TIMEOUT, 1)
    assert (r.value, r.report["synthesize"].started_after, r.elapsed) == ("w", ms(775), ms(925))


@pytest.mark.fanmesh(conf(complete={"until": "first"}))
async def test_it_is_waited_for_whatever_completes_the_rest(lab: Lab) -> None:
    """It is required: `until: first` holds when it has answered, and not before."""
    lab.worker("a").plays(ends(1))
    lab.worker("b").plays(ends(2, after=ms(40)))
    lab.worker("w").plays(ends("w", after=ms(5)))
    r = await lab.dispatch("p")
    assert (r.value, r.elapsed, lab.worker("w").calls) == ("w", ms(45), [{"a": 1, "b": 2}])


@pytest.mark.fanmesh(conf())
async def test_if_it_fails_the_request_fails(lab: Lab) -> None:
    """Its cause is in the status."""
    lab.worker("a").plays(ends(1))
    lab.worker("b").plays(ends(2))
    lab.worker("w").plays(fails("INTERNAL", "no words"))
    r = await lab.dispatch("p")
    assert r.refusal is not None
    assert (r.code, r.value, dict(r.refusal.metadata)["branch"]) == (Code.UNAVAILABLE, None, "synthesize")


@pytest.mark.fanmesh(conf(synthesis={"otherwise": {"priority": ["b"]}}))
@pytest.mark.parametrize("script", [fails("INTERNAL"), hangs()], ids=repr)
async def test_or_another_merge_of_the_others_is_the_result(lab: Lab, script: Any) -> None:
    """`otherwise`: less than was wanted, and the report says so."""
    lab.worker("a").plays(ends(1))
    lab.worker("b").plays(ends(2))
    lab.worker("w").plays(script)
    r = await lab.dispatch("p")
    assert (r.value, r.code, r.complete, r.report["synthesize"].required) == (2, Code.OK, False, False)
    assert [one.merged for one in r.report.branches] == [False, True, False]
    await lab.settle()
    lab.assert_nothing_left()


@pytest.mark.fanmesh(conf(synthesis={"fallback": {"worker": "v"}, "timeout": "50ms"}))
async def test_it_may_have_a_fallback_like_any_branch(lab: Lab) -> None:
    """V is given what w was given."""
    lab.worker("a").plays(ends(1))
    lab.worker("b").plays(ends(2))
    lab.worker("w").plays(hangs())
    lab.worker("v").plays(ends("v"))
    r = await lab.dispatch("p")
    assert (r.value, r.report["synthesize"].state, lab.worker("v").calls) == ("v", S.FELL_BACK, [{"a": 1, "b": 2}])


@pytest.mark.fanmesh(conf(synthesis={"worker": "w"}, streaming=("w",)))
async def test_it_may_stream(lab: Lab) -> None:
    """Its parts are the snapshots; before them there is no result, because there is no merge of the others."""
    lab.worker("a").plays(ends(1))
    lab.worker("b").plays(ends(2))
    lab.worker("w").plays(streams(["one ", "and two"], every=ms(5)))
    r = await lab.dispatch("p", emit=EmitMode.SNAPSHOT)
    assert r.value == "one and two"


@pytest.mark.fanmesh(conf({"a": {}, "b": {"input": "${branches.a.output}"}}))
async def test_it_comes_after_a_staged_plan(lab: Lab) -> None:
    """Which is a graph like any other, with one node more."""
    lab.worker("a").plays(ends(1, after=ms(5)))
    lab.worker("b").plays(ends(2, after=ms(5)))
    lab.worker("w").plays(ends("w", after=ms(5)))
    r = await lab.dispatch("p")
    assert (r.value, r.elapsed) == ("w", ms(15))

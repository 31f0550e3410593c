"""Completion: which rule ends a request, at which instant, and what that makes of the branches it leaves behind."""

from __future__ import annotations

import pytest

from fanmesh.model.fault import Code
from fanmesh.model.states import BranchReason, BranchState, CompletedBy
from fanmesh.testing import Lab, LabResult, ends, fails, hangs, ms, streams
from tests.kit.plans import plan

R, S, C = BranchReason, BranchState, CompletedBy

NEVER = {"if": 'attributes.go == "yes"'}


def answers(lab: Lab, **after: int) -> None:
    """Each branch answers its name after so many ms; a negative time is a failure then."""
    for name, at in after.items():
        lab.worker(name).plays(ends(name, after=ms(at)) if at >= 0 else fails("INTERNAL", after=ms(-at)))


def fates(r: LabResult) -> dict[str, str]:
    """STATE/REASON of each branch."""
    return {row.branch: "/".join([row.state.name, *([row.reason.name] if row.reason else [])]) for row in r.report.branches}


@pytest.mark.fanmesh(plan("a b"))
async def test_all(lab: Lab) -> None:
    """`until: all` is the default: complete when every branch has ended, well or badly."""
    answers(lab, a=20, b=-50)
    r = await lab.dispatch("p")
    assert (r.elapsed, r.report.completed_by, r.value, r.complete, r.code) == (ms(50), C.ALL, {"a": "a"}, False, Code.OK)
    assert fates(r) == {"a": "SUCCEEDED", "b": "FAILED/WORKER_ERROR"}


@pytest.mark.fanmesh(plan("a b", complete={"until": "first"}))
async def test_first(lab: Lab) -> None:
    """`until: first` completes at the first good answer, not at the first ending."""
    answers(lab, a=-10, b=30)
    r = await lab.dispatch("p")
    assert (r.elapsed, r.report.completed_by) == (ms(30), C.FIRST)


@pytest.mark.fanmesh(plan("a b c", complete={"until": {"count": 2}}))
async def test_count(lab: Lab) -> None:
    """`until: {count: n}` completes at the n-th good answer; who was running is CANCELLED/COMPLETION_MET, and no error."""
    answers(lab, a=10, b=300, c=40)
    r = await lab.dispatch("p")
    assert (r.elapsed, r.report.completed_by, r.value) == (ms(40), C.COUNT, {"a": "a", "c": "c"})
    assert fates(r)["b"] == "CANCELLED/COMPLETION_MET"
    assert r.complete
    assert not r.report.degraded
    assert (r.coverage.cancelled, r.coverage.ratio) == (1, 2 / 3)


@pytest.mark.fanmesh(plan({"a": {"required": True}, "b": {"required": True}, "c": {}}, complete={"until": "required"}))
async def test_required(lab: Lab) -> None:
    """`until: required` completes when every required branch has done its duty."""
    answers(lab, a=10, b=40, c=300)
    r = await lab.dispatch("p")
    assert (r.elapsed, r.report.completed_by, r.value) == (ms(40), C.REQUIRED, {"a": "a", "b": "b"})


@pytest.mark.fanmesh(plan({"a": {"weight": 3}, "b": {}, "c": {}}, complete={"until": {"coverage": 0.8}}))
async def test_coverage_is_of_weights(lab: Lab) -> None:
    """`until: {coverage: x}` compares answered weight with wanted weight, by `>=`: 4 of 5 is 0.8."""
    answers(lab, a=50, b=10, c=400)
    r = await lab.dispatch("p")
    assert (r.elapsed, r.report.completed_by, r.coverage.ratio) == (ms(50), C.COVERAGE, 0.8)


@pytest.mark.fanmesh(plan("a b c", complete={"until": [{"count": 3}, {"coverage": 0.6}]}))
async def test_of_several_rules_the_first_that_fires(lab: Lab) -> None:
    """Of several `until` rules the first that holds completes, and the report names it."""
    answers(lab, a=10, b=20, c=300)
    r = await lab.dispatch("p")
    assert (r.elapsed, r.report.completed_by) == (ms(20), C.COVERAGE)


@pytest.mark.fanmesh(plan("a b c", complete={"until": {"count": 3}}))
async def test_a_rule_that_cannot_be_met_degrades_to_all(lab: Lab) -> None:
    """An `until` that can no longer be met while the floor can: the request goes on until all have ended."""
    answers(lab, a=-10, b=20, c=60)
    r = await lab.dispatch("p")
    assert (r.elapsed, r.report.completed_by, r.code) == (ms(60), C.ALL, Code.OK)


TEN = {f"b{i}": {} for i in range(10)}
GRACE = {"until": {"coverage": 0.9}, "grace": {"min": 0.2, "max": 0.3}}


@pytest.mark.fanmesh(plan(TEN, latency="500ms", merge_reserve="0", complete=GRACE))
async def test_grace_as_in_the_book(lab: Lab) -> None:
    """9 of 10 at 100 ms of 500 ms with grace 0.2/0.3 returns at 180 ms: a fifth of what remains."""
    for name in TEN:
        lab.worker(name).plays(ends(1, after=ms(100)) if name != "b9" else hangs())
    r = await lab.dispatch("p")
    assert (r.elapsed, r.report.completed_by, r.coverage.ratio) == (ms(180), C.COVERAGE, 0.9)
    assert fates(r)["b9"] == "CANCELLED/COMPLETION_MET"


@pytest.mark.fanmesh(plan(TEN, latency="500ms", merge_reserve="0", complete=GRACE))
async def test_a_straggler_within_grace_is_taken(lab: Lab) -> None:
    """Who answers within the grace is used, and if that was the last one the request does not wait on."""
    for name in TEN:
        lab.worker(name).plays(ends(1, after=ms(150 if name == "b9" else 100)))
    r = await lab.dispatch("p")
    assert (r.elapsed, r.report.completed_by, r.complete) == (ms(150), C.COVERAGE, True)


@pytest.mark.fanmesh(
    plan(
        {"a": {"weight": 5}, "b": {"weight": 1}, "c": {"weight": 2}, "d": {"weight": 2}},
        latency="500ms",
        merge_reserve="0",
        complete={"until": {"coverage": 0.5}, "grace": {"min": 0.2, "max": 0.6}},
    )
)
async def test_grace_grows_with_what_is_pending(lab: Lab) -> None:
    """The wait is remaining · (min + (max − min) · (pending − lightest)/(allowed missing − lightest)), fixed when first met."""
    answers(lab, a=100, b=200, c=450, d=450)
    r = await lab.dispatch("p")
    assert (r.elapsed, r.report.completed_by) == (ms(100 + 400 * 0.6), C.COVERAGE)  # (5 − 1)/(5 − 1) = 1, and b changes nothing


@pytest.mark.fanmesh(plan({"a": NEVER, "b": NEVER}, attributes=["go"]))
async def test_empty(lab: Lab) -> None:
    """Nothing to run: EMPTY at once, FAILED_PRECONDITION; never a success with nothing in it."""
    r = await lab.dispatch("p")
    assert (r.elapsed, r.report.completed_by, r.code, r.reason) == (0, C.EMPTY, Code.FAILED_PRECONDITION, "NOTHING_TO_RUN")
    assert fates(r) == {"a": "SKIPPED/CONDITION", "b": "SKIPPED/CONDITION"}
    assert (r.coverage.ratio, r.coverage.weight_total, r.coverage.skipped) == (0.0, 0.0, 2)


@pytest.mark.fanmesh(plan({"a": NEVER, "b": {}}, attributes=["go"]))
async def test_a_branch_that_is_not_wanted_is_outside(lab: Lab) -> None:
    """A branch whose `if` is false is not in the denominator, and leaves the request complete."""
    answers(lab, b=10)
    r = await lab.dispatch("p")
    assert (r.coverage.ratio, r.complete, r.report.completed_by) == (1.0, True, C.ALL)
    assert r.missing == ()


@pytest.mark.fanmesh(plan({"a": {"required": True}, "b": {}, "c": {}}))
async def test_a_required_failure_ends_the_request_at_once(lab: Lab) -> None:
    """A required branch fails: UNREACHABLE at once, its siblings are cancelled, and a retry one layer up is advised against."""
    answers(lab, a=-20, b=300, c=5)
    r = await lab.dispatch("p")
    assert (r.elapsed, r.report.completed_by) == (ms(20), C.UNREACHABLE)
    assert (r.code, r.reason) == (Code.UNAVAILABLE, "COMPLETION_UNREACHABLE")
    assert r.refusal is not None
    assert r.refusal.pushback == -1
    assert dict(r.refusal.metadata) == {"branch": "a", "cause_code": "INTERNAL", "branch_reason": "WORKER_ERROR"}
    assert fates(r) == {"a": "FAILED/WORKER_ERROR", "b": "CANCELLED/COMPLETION_MET", "c": "SUCCEEDED"}
    assert lab.worker("b").cancelled == 1


@pytest.mark.fanmesh(plan({"a": {"required": True, "if": 'attributes.go == "yes"'}, "b": {}}, attributes=["go"]))
async def test_a_required_branch_that_was_not_to_run(lab: Lab) -> None:
    """The floor asks only for required nodes that were to run."""
    answers(lab, b=10)
    r = await lab.dispatch("p")
    assert (r.code, r.complete) == (Code.OK, True)


@pytest.mark.fanmesh(plan("a b c", accept={"min_success": 2}))
async def test_min_success_is_a_floor(lab: Lab) -> None:
    """Below `accept.min_success` the request fails, as soon as it is certain."""
    answers(lab, a=-10, b=-30, c=500)
    r = await lab.dispatch("p")
    assert (r.elapsed, r.report.completed_by, r.code) == (ms(30), C.UNREACHABLE, Code.UNAVAILABLE)


@pytest.mark.fanmesh(plan("a b c d", accept={"min_coverage": 0.5}))
@pytest.mark.parametrize(("failures", "code"), [(2, Code.OK), (3, Code.UNAVAILABLE)])
async def test_min_coverage_is_a_floor(lab: Lab, failures: int, code: Code) -> None:
    """`accept.min_coverage` is compared with `>=`: half is enough for 0.5."""
    answers(lab, **{name: -10 if i < failures else 20 for i, name in enumerate("abcd")})
    assert (await lab.dispatch("p")).code is code


@pytest.mark.fanmesh(plan({"a": {"soft_timeout": "50ms"}, "b": {}}, accept={"min_success": 2}))
async def test_the_floor_outlasts_softs(lab: Lab) -> None:
    """A soft timeout completes nothing while the floor does not hold."""
    answers(lab, a=600, b=10)
    r = await lab.dispatch("p")
    assert (r.elapsed, r.report.completed_by, r.code) == (ms(600), C.ALL, Code.OK)


@pytest.mark.fanmesh(plan("a b", complete={"until": "first"}, accept={"min_success": 2}))
async def test_until_waits_for_the_floor(lab: Lab) -> None:
    """An `until` rule completes only together with the floor."""
    answers(lab, a=10, b=70)
    r = await lab.dispatch("p")
    assert (r.elapsed, r.report.completed_by) == (ms(70), C.FIRST)


@pytest.mark.fanmesh(plan("a b", accept={"min_success": 0}))
async def test_no_floor_at_all(lab: Lab) -> None:
    """With `min_success: 0` a request where everything failed is OK, and not complete."""
    answers(lab, a=-10, b=-20)
    r = await lab.dispatch("p")
    assert (r.code, r.complete, r.value, r.report.completed_by, r.coverage.ratio) == (Code.OK, False, {}, C.ALL, 0.0)


@pytest.mark.fanmesh(plan("a b"))
async def test_everything_failed(lab: Lab) -> None:
    """`accept` asks for one success unless told otherwise."""
    answers(lab, a=-10, b=-20)
    r = await lab.dispatch("p")
    assert (r.elapsed, r.report.completed_by, r.code) == (ms(20), C.UNREACHABLE, Code.UNAVAILABLE)


@pytest.mark.fanmesh(plan({"a": {"required": True}, "b": {}}))
async def test_stop_without_the_floor(lab: Lab) -> None:
    """At stop the request ends: below the floor it is DEADLINE_EXCEEDED."""
    answers(lab, b=10)
    lab.worker("a").plays(hangs())
    r = await lab.dispatch("p")
    assert (r.elapsed, r.report.completed_by, r.code, r.reason) == (ms(975), C.HARD_TIMEOUT, Code.DEADLINE_EXCEEDED, "DEADLINE")
    assert r.value is None


@pytest.mark.fanmesh(plan({"a": {"required": True, "if_missing": {"use": 7}}, "b": {}}))
async def test_a_default_that_comes_with_stop_counts_for_the_floor(lab: Lab) -> None:
    """A default put in at the verdict satisfies `required`."""
    answers(lab, b=10)
    lab.worker("a").plays(hangs())
    r = await lab.dispatch("p")
    assert (r.report.completed_by, r.code, r.value) == (C.HARD_TIMEOUT, Code.OK, {"a": 7, "b": "b"})
    assert fates(r)["a"] == "DEFAULTED/REQUEST_DEADLINE"


@pytest.mark.fanmesh(plan({"a": {"required": True, "if_missing": {"use": 7}}, "b": {}}, complete={"until": "required"}))
async def test_a_default_satisfies_required(lab: Lab) -> None:
    """A required branch that failed and has a default has done its duty, and does not count as a success."""
    answers(lab, a=-30, b=10)
    r = await lab.dispatch("p")
    assert (r.elapsed, r.report.completed_by, r.value) == (ms(30), C.REQUIRED, {"a": 7, "b": "b"})
    assert (r.coverage.succeeded, r.coverage.defaulted, r.coverage.ratio) == (1, 1, 0.5)


# ---------------------------------------------------------------- one instant


@pytest.mark.fanmesh(plan({"a": {"soft_timeout": "300ms"}, "b": {}}))
async def test_an_ending_comes_before_a_soft_timeout(lab: Lab) -> None:
    """At one instant endings come before softs: an answer at 300 ms is not cut off by a soft timeout of 300 ms."""
    answers(lab, a=300, b=10)
    r = await lab.dispatch("p")
    assert (r.elapsed, r.report.completed_by, r.complete) == (ms(300), C.ALL, True)


@pytest.mark.fanmesh(plan({"a": {"timeout": "300ms"}, "b": {}}))
async def test_an_answer_at_its_hard_timeout_counts(lab: Lab) -> None:
    """A branch that answers at the very instant of its hard timeout has answered."""
    answers(lab, a=300, b=10)
    assert fates(await lab.dispatch("p"))["a"] == "SUCCEEDED"


@pytest.mark.fanmesh(plan("a b", latency="1s"))
async def test_stop_comes_before_an_ending(lab: Lab) -> None:
    """At one instant stop comes first: an answer at stop is too late."""
    answers(lab, a=975, b=10)
    r = await lab.dispatch("p")
    assert (fates(r)["a"], r.report.completed_by) == ("TIMED_OUT/REQUEST_DEADLINE", C.HARD_TIMEOUT)


@pytest.mark.fanmesh(plan({"a": {"timeout": "300ms"}, "b": {"soft_timeout": "300ms"}, "c": {}}))
async def test_a_hard_timeout_comes_before_a_soft_one(lab: Lab) -> None:
    """At one instant a hard timeout is an ending, so it comes before a soft timeout."""
    lab.worker("a").plays(hangs())
    lab.worker("b").plays(hangs())
    answers(lab, c=10)
    r = await lab.dispatch("p")
    assert fates(r) == {"a": "TIMED_OUT/HARD_TIMEOUT", "b": "CANCELLED/SOFT_TIMEOUT", "c": "SUCCEEDED"}


@pytest.mark.fanmesh(plan({"a": {}, "b": {"if_missing": {"use": 0}}}, complete={"until": "first", "soft_timeout": "300ms"}))
async def test_a_soft_timeout_at_the_instant_of_completion_has_not_passed(lab: Lab) -> None:
    """Completed by an answer at 300 ms, a branch that a soft timeout of 300 ms would have left behind is not missing."""
    answers(lab, a=300)
    lab.worker("b").plays(hangs())
    r = await lab.dispatch("p")
    assert (r.report.completed_by, fates(r)["b"], r.value) == (C.FIRST, "CANCELLED/COMPLETION_MET", {"a": "a"})
    assert (r.coverage.cancelled, r.coverage.defaulted, r.complete) == (1, 0, True)


@pytest.mark.fanmesh(
    plan(
        {"a": {}, "b": {"soft_timeout": "200ms"}, "c": {}},
        latency="500ms",
        merge_reserve="0",
        complete={"until": {"coverage": 0.3}, "grace": {"min": 0.25, "max": 0.25}},
    )
)
async def test_a_soft_timeout_at_the_end_of_grace_has_passed(lab: Lab) -> None:
    """Completed by time itself, what was due at that instant has passed: grace and soft timeout both at 200 ms."""
    answers(lab, a=100)
    lab.worker("b").plays(hangs())
    lab.worker("c").plays(hangs())
    r = await lab.dispatch("p")
    assert (r.elapsed, r.report.completed_by) == (ms(200), C.COVERAGE)
    assert (fates(r)["b"], fates(r)["c"]) == ("CANCELLED/SOFT_TIMEOUT", "CANCELLED/COMPLETION_MET")


@pytest.mark.fanmesh(plan("a b", complete={"until": {"count": 1}}))
async def test_two_answers_at_one_instant(lab: Lab) -> None:
    """Of two answers at one instant that complete a request one is applied, and the other one is late: never merged."""
    answers(lab, a=10, b=10)
    r = await lab.dispatch("p")
    assert sorted(fates(r).values()) == ["CANCELLED/COMPLETION_MET", "SUCCEEDED"] or "LATE" in str(fates(r))
    assert isinstance(r.value, dict)
    assert len(r.value) == r.coverage.succeeded == 1


@pytest.mark.fanmesh(plan("s b", streaming=["s"], complete={"until": {"count": 1}}))
async def test_parts_complete_nothing(lab: Lab) -> None:
    """A stream counts when it has ended, not when its first part is there."""
    lab.worker("s").plays(streams([[1], [2]], every=ms(10)))
    answers(lab, b=15)
    r = await lab.dispatch("p")
    assert (r.elapsed, r.value, fates(r)["s"]) == (ms(15), {"b": "b"}, "CANCELLED/COMPLETION_MET")

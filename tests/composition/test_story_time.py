"""Time: how a request's time is divided, and how each share reaches whom it is for. All times are virtual and exact."""

from __future__ import annotations

import pytest

from dispatcher.model.request import Tightening
from fanmesh.model.fault import Code
from fanmesh.model.states import BranchReason, BranchState, CompletedBy
from fanmesh.testing import Lab, ends, fails, hangs, ms
from tests.kit.plans import plan

R, S, C = BranchReason, BranchState, CompletedBy


@pytest.mark.fanmesh(plan("a b", latency="800ms"))
@pytest.mark.parametrize(
    ("caller", "stop"),
    [(None, ms(775)), (ms(400), ms(375)), (ms(2000), ms(775)), (ms(40), ms(30)), (ms(101), ms(76))],
)
async def test_the_request_ends_at_stop(lab: Lab, caller: int | None, stop: int) -> None:
    """T is the smaller of the caller's deadline and the plan's latency; the request ends at T − min(reserve, T/4)."""
    lab.worker("a").plays(ends(1, after=ms(1)))
    lab.worker("b").plays(hangs())
    r = await lab.dispatch("p", timeout=caller)
    assert (r.elapsed, r.report.completed_by, r.code) == (stop, C.HARD_TIMEOUT, Code.OK)
    assert (r.report["b"].state, r.report["b"].reason) == (S.TIMED_OUT, R.REQUEST_DEADLINE)


@pytest.mark.fanmesh(plan("a", latency=None))
async def test_ten_seconds_if_nobody_says(lab: Lab) -> None:
    """Without a deadline of the caller and a latency of the plan a request has ten seconds."""
    lab.worker("a").plays(hangs())
    r = await lab.dispatch("p")
    assert (r.elapsed, r.code, r.reason) == (ms(9975), Code.DEADLINE_EXCEEDED, "DEADLINE")


@pytest.mark.fanmesh(plan("a", latency="1s", merge_reserve="400ms"))
async def test_the_reserve_is_at_most_a_quarter(lab: Lab) -> None:
    """The reserve is min(merge_reserve, 25 % of T)."""
    lab.worker("a").plays(hangs())
    assert (await lab.dispatch("p")).elapsed == ms(750)


@pytest.mark.fanmesh(plan("a", latency="1s"))
@pytest.mark.parametrize(("asked", "stop"), [(ms(200), ms(175)), (ms(5000), ms(975))])
async def test_a_callers_budget_only_shortens(lab: Lab, asked: int, stop: int) -> None:
    """A caller's latency budget may shorten the plan's, and never lengthens it."""
    lab.worker("a").plays(hangs())
    assert (await lab.dispatch("p", tightening=Tightening(latency=asked))).elapsed == stop


@pytest.mark.fanmesh(plan({"a": {"timeout": "300ms"}, "b": {}}))
async def test_a_hard_timeout_ends_one_branch(lab: Lab) -> None:
    """At its hard timeout a branch has failed and is cancelled at the worker; the request goes on with the others."""
    lab.worker("a").plays(hangs())
    lab.worker("b").plays(ends(2, after=ms(500)))
    r = await lab.dispatch("p")
    assert (r.report["a"].state, r.report["a"].reason, r.report["a"].elapsed) == (S.TIMED_OUT, R.HARD_TIMEOUT, ms(300))
    assert (r.elapsed, r.value, r.report.completed_by) == (ms(500), {"b": 2}, C.ALL)
    assert lab.worker("a").cancelled == 1


@pytest.mark.fanmesh(plan({"a": {"timeout": "5s"}, "b": {}}, latency="1s"))
async def test_stop_cuts_a_longer_timeout(lab: Lab) -> None:
    """A branch's deadline is never behind stop; a branch cut there ends as TIMED_OUT/REQUEST_DEADLINE."""
    lab.worker("a").plays(hangs())
    lab.worker("b").plays(ends(2))
    r = await lab.dispatch("p")
    assert (r.report["a"].state, r.report["a"].reason, r.report["a"].elapsed) == (S.TIMED_OUT, R.REQUEST_DEADLINE, ms(975))


@pytest.mark.fanmesh(plan({"a": {"soft_timeout": "300ms"}, "b": {}}))
async def test_a_soft_timeout_stops_the_waiting(lab: Lab) -> None:
    """After its soft timeout a branch is no longer waited for; it is cancelled when the request completes without it."""
    lab.worker("a").plays(hangs())
    lab.worker("b").plays(ends(2, after=ms(80)))
    r = await lab.dispatch("p")
    assert (r.elapsed, r.report.completed_by, r.coverage.ratio) == (ms(300), C.SOFT_TIMEOUT, 0.5)
    assert (r.report["a"].state, r.report["a"].reason) == (S.CANCELLED, R.SOFT_TIMEOUT)
    assert lab.worker("a").cancelled == 1


@pytest.mark.fanmesh(plan({"a": {"soft_timeout": "300ms"}, "b": {}}))
async def test_an_answer_after_the_soft_timeout_is_used(lab: Lab) -> None:
    """A branch past its soft timeout goes on, and if it answers before the request completes it is used."""
    lab.worker("a").plays(ends(1, after=ms(350)))
    lab.worker("b").plays(ends(2, after=ms(400)))
    r = await lab.dispatch("p")
    assert (r.elapsed, r.value, r.complete) == (ms(400), {"a": 1, "b": 2}, True)


@pytest.mark.fanmesh(plan({"a": {"soft_timeout": "300ms", "required": True}, "b": {}}))
async def test_a_required_branch_is_waited_for(lab: Lab) -> None:
    """A soft timeout has no effect on a required branch."""
    lab.worker("a").plays(ends(1, after=ms(600)))
    lab.worker("b").plays(ends(2))
    r = await lab.dispatch("p")
    assert (r.elapsed, r.report.completed_by, r.complete) == (ms(600), C.ALL, True)


@pytest.mark.fanmesh(plan({"a": {"soft_timeout": "300ms", "if_missing": "fail"}, "b": {}}))
async def test_a_branch_whose_failure_fails_all_is_waited_for(lab: Lab) -> None:
    """`if_missing: fail` works like `required`: its soft timeout has no effect either."""
    lab.worker("a").plays(ends(1, after=ms(600)))
    lab.worker("b").plays(ends(2))
    r = await lab.dispatch("p")
    assert (r.elapsed, r.report.completed_by, r.complete) == (ms(600), C.ALL, True)


@pytest.mark.fanmesh(plan({"a": {"soft_timeout": "300ms", "if_missing": "fail"}, "b": {"required": True}}))
async def test_it_has_no_soft_timeout_in_the_report_either(lab: Lab) -> None:
    """What is always waited for is never reported as left behind at a soft timeout."""
    lab.worker("a").plays(hangs())
    lab.worker("b").plays(fails(after=ms(500)))
    r = await lab.dispatch("p")
    assert (r.elapsed, r.report.completed_by) == (ms(500), C.UNREACHABLE)
    assert (r.report["a"].state, r.report["a"].reason) == (S.CANCELLED, R.COMPLETION_MET)


@pytest.mark.fanmesh(plan({"a": {"soft_timeout": "900ms"}, "b": {}}, latency="1s"))
async def test_softs_are_at_most_seven_tenths_of_stop(lab: Lab) -> None:
    """An effective soft timeout is min(soft, 0.7 · stop), here 0.7 · 375 ms of a caller in a hurry."""
    lab.worker("a").plays(hangs())
    lab.worker("b").plays(ends(2))
    r = await lab.dispatch("p", timeout=ms(400))
    assert (r.elapsed, r.report.completed_by) == (ms(262.5), C.SOFT_TIMEOUT)


@pytest.mark.fanmesh(plan("a b", complete={"soft_timeout": "400ms"}))
async def test_the_plans_soft_timeout(lab: Lab) -> None:
    """After the plan's soft timeout what is there is enough, if the floor holds."""
    lab.worker("a").plays(ends(1, after=ms(100)))
    lab.worker("b").plays(hangs())
    r = await lab.dispatch("p")
    assert (r.elapsed, r.report.completed_by, r.report["b"].reason) == (ms(400), C.SOFT_TIMEOUT, R.SOFT_TIMEOUT)


@pytest.mark.fanmesh(plan("a b", complete={"soft_timeout": "400ms"}))
async def test_the_plans_soft_timeout_is_sticky(lab: Lab) -> None:
    """Once the plan's soft timeout has passed, the first moment the floor holds completes."""
    lab.worker("a").plays(ends(1, after=ms(600)))
    lab.worker("b").plays(hangs())
    r = await lab.dispatch("p")
    assert (r.elapsed, r.report.completed_by, r.value) == (ms(600), C.SOFT_TIMEOUT, {"a": 1})


@pytest.mark.fanmesh(plan("a b", complete={"soft_timeout": "900ms"}))
async def test_the_plans_soft_timeout_is_capped_too(lab: Lab) -> None:
    """The plan's soft timeout, too, is at most 0.7 · stop."""
    lab.worker("a").plays(ends(1))
    lab.worker("b").plays(hangs())
    assert (await lab.dispatch("p")).elapsed == ms(975) * 7 // 10


@pytest.mark.fanmesh(plan("a b"))
@pytest.mark.parametrize(("left", "stop_at"), [(ms(6), ms(4.5)), (0, 0), (-ms(3), 0)])
async def test_too_little_time_to_start(lab: Lab, left: int, stop_at: int) -> None:
    """With less than 5 ms until stop nothing is sent, and every branch ends as NOT_STARTED_NO_TIME."""
    r = await lab.dispatch("p", timeout=left)
    assert [(row.state, row.reason, row.started_after) for row in r.report.branches] == [
        (S.SKIPPED, R.NOT_STARTED_NO_TIME, None)
    ] * 2
    assert r.code is not Code.OK
    assert lab.worker("a").calls == []
    assert r.elapsed <= stop_at
    assert r.report.degraded.names() == ("hard_timeout",)


@pytest.mark.fanmesh(plan("a"))
async def test_exactly_enough_time_to_start(lab: Lab) -> None:
    """An attempt starts if what remains is at least 5 ms."""
    lab.worker("a").plays(ends(1, after=ms(4)))
    r = await lab.dispatch("p", timeout=ms(20) // 3 + 1)
    assert (r.code, r.elapsed, r.value) == (Code.OK, ms(4), {"a": 1})


@pytest.mark.fanmesh(plan({"a": {"sla": "100ms"}, "b": {"sla": "100ms"}, "c": {}, "d": {"sla": "100ms", "timeout": "50ms"}}))
async def test_an_sla_changes_nothing_and_is_reported(lab: Lab) -> None:
    """`sla_met` says whether the answer came within the SLA; it is unset without one, and false for a branch that failed."""
    for name, after in (("a", 100), ("b", 101), ("c", 101)):
        lab.worker(name).plays(ends(1, after=ms(after)))
    lab.worker("d").plays(hangs())
    r = await lab.dispatch("p")
    assert {row.branch: row.sla_met for row in r.report.branches} == {"a": True, "b": False, "c": None, "d": False}
    assert r.elapsed == ms(101)


@pytest.mark.fanmesh(plan("a b"))
async def test_a_report_says_when(lab: Lab) -> None:
    """A row says when its branch was sent and for how long it ran; the branch that ended last is the critical path."""
    lab.worker("a").plays(ends(1, after=ms(70)))
    lab.worker("b").plays(ends(1, after=ms(30)))
    r = await lab.dispatch("p")
    assert [(row.started_after, row.elapsed) for row in r.report.branches] == [(0, ms(70)), (0, ms(30))]
    assert (r.report.critical_path, r.report.elapsed) == (("a",), ms(70))
    (attempt,) = r.report["a"].attempts
    assert (attempt.started_after, attempt.elapsed, attempt.won, attempt.endpoint) == (0, ms(70), True, "lab:a")

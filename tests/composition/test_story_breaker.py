"""Breakers under the whole engine: what opens them, who is spared, and how a worker comes back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dispatcher.policies.breaker import State
from fanmesh.model.fault import Code
from fanmesh.model.states import AttemptKind, BranchReason, BranchState
from fanmesh.testing import FakeWorker, Lab, LabResult, ends, fails, hangs, ms
from tests.kit.plans import plan

R, S = BranchReason, BranchState


def conf(breaker: Any = None, *, retry: Any = None, branch: Any = None, **rest: Any) -> dict[str, Any]:
    """A plan of one branch `a`: endpoints take turns, and their breakers open after two failures in a row, for a second."""
    rule = {"consecutive_failures": 2, "failure_rate": None, **(breaker or {})}
    policy = {"extends": "standard", "breaker": rule, "retry": retry, "balance": "round_robin"}
    return plan({"a": branch or {}}, policies={"p": policy}, workers={"a": {"policy": "p"}}, **rest)


def state(lab: Lab, place: FakeWorker) -> State:
    """Of the breaker of an endpoint."""
    return lab.books.of("a").endpoint(place.address).breaker.state


def endings(r: LabResult) -> tuple[str, str, int]:
    """State, reason and number of attempts."""
    row = r.report["a"]
    return row.state.name, row.reason.name, len(row.attempts)


REJECTED = ("REJECTED", "BREAKER_OPEN", 0)
FAILED = ("FAILED", "WORKER_ERROR", 1)


@pytest.mark.fanmesh(conf())
async def test_a_worker_with_one_endpoint(lab: Lab) -> None:
    """Two failures open it; then it is refused at once, and after the open time one call finds out that it is well again."""
    lab.chance(0.0)
    a = lab.worker("a").plays(fails("UNAVAILABLE"))
    found = [endings(await lab.dispatch("p")) for _ in range(4)]
    assert found == [FAILED, FAILED, REJECTED, REJECTED]
    assert (state(lab, a), len(a.calls)) == (State.OPEN, 2)
    a.plays(ends(1, after=ms(10)))
    await asyncio.sleep(1)
    r = await lab.dispatch("p")
    assert (r.value, r.report["a"].attempts[0].kind, state(lab, a)) == ({"a": 1}, AttemptKind.PROBE, State.CLOSED)
    assert [(d.what, d.why) for d in r.report["a"].decisions] == [("probe", "due"), ("breaker_closed", "recovered")]
    assert (await lab.dispatch("p")).report["a"].attempts[0].kind is AttemptKind.FIRST


@pytest.mark.fanmesh(conf())
async def test_a_refused_call_says_so(lab: Lab) -> None:
    """REJECTED/BREAKER_OPEN, Degraded, UNAVAILABLE to the caller; no attempt, no time, and counted."""
    lab.chance(0.0)
    lab.worker("a").plays(fails("UNAVAILABLE"))
    for _ in range(2):
        await lab.dispatch("p")
    r = await lab.dispatch("p")
    row = r.report["a"]
    assert (r.elapsed, r.code, row.code, row.started_after, r.report.degraded.breaker) == (
        0,
        Code.UNAVAILABLE,
        Code.UNAVAILABLE,
        None,
        True,
    )
    assert lab.books.of("a").counts["refused", "breaker_open"] == 1


@pytest.mark.fanmesh(conf())
async def test_a_worker_without_a_closed_endpoint_is_tried_once_per_open_time(lab: Lab) -> None:
    """The open time has doubled to two seconds, yet after one there is a trial: a trickle, counted as fail-open."""
    lab.chance(0.0)
    lab.worker("a").plays(fails("UNAVAILABLE"))
    calls = []
    for _ in range(60):
        before = len(lab.worker("a").calls)
        await lab.dispatch("p")
        calls.append(len(lab.worker("a").calls) - before)
        await asyncio.sleep(0.1)
    assert (sum(calls[:2]), sum(calls[2:])) == (2, 5)
    assert lab.books.of("a").fail_open > 0


@pytest.mark.fanmesh(conf())
async def test_an_open_endpoint_gets_no_call(lab: Lab) -> None:
    """One of two is broken: after two failures everything goes to the other one."""
    bad, good = lab.worker("a").replicas(2)
    bad.plays(fails("UNAVAILABLE"))
    good.plays(ends(1))
    for _ in range(40):
        await lab.dispatch("p")
    assert (len(bad.calls), len(good.calls), state(lab, bad)) == (2, 38, State.OPEN)


@pytest.mark.fanmesh(conf())
async def test_at_most_half_are_ejected(lab: Lab) -> None:
    """Three of four are broken: one of the three is called all the same, and the one that is well is always kept."""
    lab.chance(None)
    places = lab.worker("a").replicas(4)
    for place in places[:3]:
        place.plays(fails("UNAVAILABLE"))
    places[3].plays(ends(1))
    for _ in range(100):
        await lab.dispatch("p")
    counted = len(places[3].calls)
    for _ in range(40):
        await lab.dispatch("p")
    assert counted < len(places[3].calls)
    assert lab.books.of("a").fail_open > 0
    assert sum(state(lab, place) is State.OPEN for place in places) == 3


@pytest.mark.fanmesh(conf({"consecutive_failures": None, "failure_rate": {"over": 0.5, "min_requests": 4}}))
async def test_the_failure_rate(lab: Lab) -> None:
    """Three of four within the window: more than a half. A failure after each answer is not enough to open it in a row."""
    a = lab.worker("a")
    for number, script in enumerate((fails("UNAVAILABLE"), ends(1), fails("UNAVAILABLE"), fails("UNAVAILABLE"))):
        assert state(lab, a) is State.CLOSED, number
        a.plays(script)
        await lab.dispatch("p")
    assert state(lab, a) is State.OPEN


@pytest.mark.fanmesh(conf())
@pytest.mark.parametrize(
    ("code", "opens"),
    [
        ("UNKNOWN", True),
        ("INTERNAL", True),
        ("UNAVAILABLE", True),
        ("DATA_LOSS", True),
        ("DEADLINE_EXCEEDED", True),
        ("RESOURCE_EXHAUSTED", False),
        ("INVALID_ARGUMENT", False),
        ("NOT_FOUND", False),
        ("CANCELLED", False),
        ("PERMISSION_DENIED", False),
    ],
)
async def test_which_codes_open_it(lab: Lab, code: str, opens: bool) -> None:  # noqa: FBT001  (a table)
    """An endpoint in trouble; what is wrong with the request says nothing about it."""
    lab.worker("a").plays(fails(code))
    for _ in range(5):
        await lab.dispatch("p")
    assert state(lab, lab.worker("a")) is (State.OPEN if opens else State.CLOSED)


@pytest.mark.fanmesh(conf(branch={"timeout": "50ms"}))
async def test_a_black_hole_opens_it(lab: Lab) -> None:
    """One that never answers fails by the branch's alarm, which cancels it: that is a failure and no wish of ours."""
    lab.worker("a").plays(hangs())
    found = [endings(await lab.dispatch("p")) for _ in range(3)]
    assert found == [("TIMED_OUT", "HARD_TIMEOUT", 1), ("TIMED_OUT", "HARD_TIMEOUT", 1), REJECTED]


@pytest.mark.fanmesh(conf())
async def test_callers_in_a_hurry_do_not_open_it(lab: Lab) -> None:
    """With less time than the worker usually takes, running out of it says nothing about the endpoint."""
    a = lab.worker("a").plays(ends(1, after=ms(100)))
    for _ in range(3):
        await lab.dispatch("p")
    for _ in range(5):
        await lab.dispatch("p", timeout=ms(60))
    assert state(lab, a) is State.CLOSED


@pytest.mark.fanmesh(conf(branch={"soft_timeout": "50ms"}, accept={"min_success": 0}))
async def test_what_we_cancel_does_not_open_it(lab: Lab) -> None:
    """Left behind at its soft timeout: neutral, and the permit is given back."""
    a = lab.worker("a").plays(hangs())
    for _ in range(5):
        assert endings(await lab.dispatch("p")) == ("CANCELLED", "SOFT_TIMEOUT", 1)
    assert state(lab, a) is State.CLOSED


@pytest.mark.fanmesh(conf(branch={"soft_timeout": "50ms"}, accept={"min_success": 0}))
async def test_a_probe_that_is_cancelled_does_not_stick(lab: Lab) -> None:
    """It says nothing and makes room for the next one: half-open, and probed again at once."""
    lab.chance(0.0)
    a = lab.worker("a").plays(fails("UNAVAILABLE"))
    for _ in range(2):
        await lab.dispatch("p")
    a.plays(hangs())
    await asyncio.sleep(1)
    await lab.dispatch("p")
    assert state(lab, a) is State.HALF_OPEN
    a.plays(ends(1))
    r = await lab.dispatch("p")
    assert (r.value, state(lab, a)) == ({"a": 1}, State.CLOSED)


@pytest.mark.fanmesh(conf(retry={"max_attempts": 3}))
async def test_a_failed_probe_is_retried_elsewhere(lab: Lab) -> None:
    """The branch that finds out that an endpoint is still broken is answered by the other one, and does not go there again."""
    lab.chance(0.0)
    bad, good = lab.worker("a").replicas(2)
    bad.plays(fails("UNAVAILABLE"))
    good.plays(ends(1))
    for _ in range(4):
        await lab.dispatch("p")
    assert state(lab, bad) is State.OPEN
    await asyncio.sleep(1)
    r = await lab.dispatch("p")
    row = r.report["a"]
    assert [(one.kind.name, one.endpoint, one.code) for one in row.attempts] == [
        ("PROBE", bad.address, Code.UNAVAILABLE),
        ("RETRY", good.address, 0),
    ]
    assert (r.value, state(lab, bad)) == ({"a": 1}, State.OPEN)


@pytest.mark.fanmesh(conf(retry={"max_attempts": 3}))
async def test_a_retry_that_finds_the_breaker_open_keeps_its_fault(lab: Lab) -> None:
    """The second attempt has opened it: there is no third, and the outcome is the worker's and not ours."""
    lab.chance(0.5)
    lab.worker("a").plays(fails("UNAVAILABLE", "down"))
    r = await lab.dispatch("p")
    row = r.report["a"]
    assert (endings(r), row.detail) == (("FAILED", "WORKER_ERROR", 2), "down")
    assert [d.what for d in row.decisions] == ["retry", "breaker_open", "refused"]


@pytest.mark.fanmesh(conf())
async def test_what_began_before_it_opened_does_not_touch_it(lab: Lab) -> None:
    """A slow call that succeeds after two others have opened the breaker does not close it."""
    a = lab.worker("a").plays(ends(1, after=ms(500)))
    slow = asyncio.ensure_future(lab.dispatch("p"))
    await asyncio.sleep(0.01)
    a.plays(fails("UNAVAILABLE"))
    for _ in range(2):
        await lab.dispatch("p")
    assert (await slow).value == {"a": 1}
    assert state(lab, a) is State.OPEN

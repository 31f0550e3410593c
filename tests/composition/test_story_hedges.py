"""Hedges under the whole engine, on virtual time: who wins, what is cancelled, and when there is none."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dispatcher.flow.dispatch import dispatch
from dispatcher.model.request import Request
from dispatcher.policies.overload import Stage
from fanmesh.model.fault import Code, Fault, FaultKind
from fanmesh.model.states import AttemptKind, BranchReason, BranchState
from fanmesh.payload import Box
from fanmesh.testing import FakeWorker, Lab, LabResult, Script, ends, fails, hangs, ms, streams
from tests.kit.plans import caught, gives, plan, raises, stubborn

R, S = BranchReason, BranchState


def conf(hedge: Any = None, *, retry: Any = None, worker: Any = None, branch: Any = None, **rest: Any) -> dict[str, Any]:
    """A plan of one branch `a`, hedged after 20 ms without limit of load."""
    after = {"after": "20ms", "max_extra_load": 1.0, **(hedge or {})}
    policy = {"extends": "standard", "breaker": None, "hedge": after, "retry": retry or {}}
    return plan({"a": branch or {}}, policies={"p": policy}, workers={"a": {"policy": "p", **(worker or {})}}, **rest)


def pair(lab: Lab, first: Script, second: Script) -> tuple[FakeWorker, FakeWorker]:
    """Two replicas: the first attempt goes to the first one and the hedge to the other, and so does no third."""
    lab.chance(0.1)
    one, two = lab.worker("a").replicas(2)
    return one.plays(first), two.plays(second)


def decided(r: LabResult) -> list[tuple[str, str]]:
    """What policies did or denied."""
    return [(d.what, d.why) for d in r.report["a"].decisions]


# ---------------------------------------------------------------------- who wins


@pytest.mark.fanmesh(conf())
async def test_a_hedge_wins(lab: Lab) -> None:
    """The first is slow: after 20 ms another one is called elsewhere, answers first, and the first one is cancelled."""
    slow, quick = pair(lab, hangs(), ends(2, after=ms(5)))
    r = await lab.dispatch("p")
    row = r.report["a"]
    first, hedge = row.attempts
    assert (r.value, r.elapsed, row.endpoint, row.code) == ({"a": 2}, ms(25), "lab:a-1", 0)
    assert (first.won, first.cancelled, first.code, first.elapsed) == (False, True, Code.CANCELLED, ms(25))
    assert (hedge.won, hedge.cancelled, hedge.kind, hedge.started_after) == (True, False, AttemptKind.HEDGE, ms(20))
    assert (decided(r), slow.cancelled, quick.kinds) == ([("hedge", "slow")], 1, [AttemptKind.HEDGE])
    assert lab.books.of("a").counts == {("hedge", "slow"): 1, ("hedge_won", ""): 1}


@pytest.mark.fanmesh(conf())
async def test_the_first_wins(lab: Lab) -> None:
    """It answers while its hedge flies: the hedge is cancelled, and has not won."""
    _, other = pair(lab, ends(1, after=ms(30)), hangs())
    r = await lab.dispatch("p")
    assert (r.value, r.elapsed, other.cancelled) == ({"a": 1}, ms(30), 1)
    assert [one.won for one in r.report["a"].attempts] == [True, False]
    assert ("hedge_won", "") not in lab.books.of("a").counts


@pytest.mark.fanmesh(conf())
async def test_one_that_is_quick_enough_is_not_hedged(lab: Lab) -> None:
    """An answer at 20 ms comes before the alarm of that instant."""
    pair(lab, ends(1, after=ms(20)), hangs())
    r = await lab.dispatch("p")
    assert (r.value, len(r.report["a"].attempts), decided(r)) == ({"a": 1}, 1, [])


@pytest.mark.fanmesh(conf())
@pytest.mark.parametrize("code", ["UNAVAILABLE", "INTERNAL", "RESOURCE_EXHAUSTED"])
@pytest.mark.parametrize("first", [True, False])
async def test_a_failure_does_not_beat_a_healthy_attempt(lab: Lab, code: str, first: bool) -> None:  # noqa: FBT001  (a table)
    """Whichever of the two fails, the other one's answer is the branch's."""
    bad, good = fails(code, after=ms(25)), ends(1, after=ms(60))
    pair(lab, *((bad, good) if first else (good, bad)))
    r = await lab.dispatch("p")
    assert (r.value, r.complete) == ({"a": 1}, True)


@pytest.mark.fanmesh(conf())
async def test_a_fatal_failure_ends_the_race(lab: Lab) -> None:
    """The request is wrong, and the other replica would say the same."""
    _, other = pair(lab, fails("INVALID_ARGUMENT", "no", after=ms(25)), hangs())
    r = await lab.dispatch("p")
    assert (r.elapsed, r.report["a"].detail, other.cancelled) == (ms(25), "no", 1)


@pytest.mark.fanmesh(conf())
async def test_a_failing_hedge_is_followed_at_once(lab: Lab) -> None:
    """A non-fatal failure beside a flying attempt: the third one leaves in that instant."""
    pair(lab, hangs(), fails("UNAVAILABLE", after=ms(10)))
    lab.worker("a").members[1].scripts = (hangs(), fails("UNAVAILABLE", after=ms(10)), ends(3, after=ms(10)))
    r = await lab.dispatch("p")
    assert (r.value, r.elapsed) == ({"a": 3}, ms(40))
    assert [one.started_after for one in r.report["a"].attempts] == [0, ms(20), ms(30)]


@pytest.mark.fanmesh(conf())
async def test_after_the_word_that_nobody_should_come_the_hedge_is_awaited(lab: Lab) -> None:
    """Pushback −1 with a hedge in flight: nothing is launched, and what flies may land."""
    pair(lab, gives(Fault(FaultKind.WORKER_ERROR, Code.UNAVAILABLE, retry_after=-1), after=ms(30)), ends(2, after=ms(100)))
    r = await lab.dispatch("p")
    assert (r.value, r.elapsed, len(r.report["a"].attempts)) == ({"a": 2}, ms(120), 2)


@pytest.mark.fanmesh(conf())
async def test_pushback_pauses_hedging(lab: Lab) -> None:
    """While a worker asks for 100 ms of peace nobody is launched beside the hedge; then there is one more."""
    pair(lab, gives(Fault(FaultKind.WORKER_ERROR, Code.UNAVAILABLE, retry_after=100), after=ms(25)), hangs())
    r = await lab.dispatch("p", timeout=ms(500))
    assert [(one.kind.name, one.started_after) for one in r.report["a"].attempts] == [
        ("FIRST", 0),
        ("HEDGE", ms(20)),
        ("RETRY", ms(25 + 105)),
    ]


@pytest.mark.fanmesh(conf())
async def test_all_fail(lab: Lab) -> None:
    """The branch ends with the last outcome of a worker, once nothing flies any more."""
    pair(lab, fails("INTERNAL", "first", after=ms(30)), fails("INTERNAL", "second", after=ms(30)))
    r = await lab.dispatch("p")
    row = r.report["a"]
    assert (r.elapsed, row.detail, row.endpoint, row.attempts[1].elapsed) == (ms(50), "second", "lab:a-1", ms(30))


@pytest.mark.fanmesh(conf())
@pytest.mark.parametrize("error", [ZeroDivisionError("x"), asyncio.CancelledError()])
async def test_a_defect_does_not_beat_a_healthy_hedge(lab: Lab, error: BaseException) -> None:
    """Nor does a worker that cancels itself: both are endings of their attempt, and not of the branch."""
    _, restore = caught()
    pair(lab, raises(error, after=ms(25)), ends(2, after=ms(30)))
    r = await lab.dispatch("p")
    restore()
    assert (r.value, r.elapsed) == ({"a": 2}, ms(50))


@pytest.mark.fanmesh(conf())
async def test_the_hedge_of_a_retry(lab: Lab) -> None:
    """A retry that is slow is hedged like a first attempt, as long after its own send."""
    lab.worker("a").replicas(3)
    lab.chance(0.0)
    lab.worker("a").plays(fails("UNAVAILABLE", after=ms(5)), hangs(), ends(3, after=ms(5)))
    r = await lab.dispatch("p")
    assert [(one.kind.name, one.started_after) for one in r.report["a"].attempts] == [
        ("FIRST", 0),
        ("RETRY", ms(5)),
        ("HEDGE", ms(25)),
    ]
    assert r.value == {"a": 3}


# ---------------------------------------------------------------------- when there is none


async def _overloaded(lab: Lab) -> None:
    """This process is short of time."""
    lab.stage = Stage.NO_HEDGES


async def _late(lab: Lab) -> None:
    """Half of the attempts take longer than what is left."""
    for _ in range(10):
        lab.books.of("a").latencies.observe(ms(990), 0)


@pytest.mark.fanmesh(conf())
@pytest.mark.parametrize(("make", "why"), [(_overloaded, "overload"), (_late, "no_time")])
async def test_denied_when_it_is_due(lab: Lab, make: Any, why: str) -> None:
    """The first one goes on, the report says why it is alone, and no allowance is spent."""
    pair(lab, ends(1, after=ms(100)), ends(2))
    await make(lab)
    r = await lab.dispatch("p")
    assert (r.value, r.elapsed, decided(r)) == ({"a": 1}, ms(100), [("hedge_denied", why)])
    assert (lab.books.of("a").hedges.tokens, lab.books.of("a").counts["hedge_denied", why]) == (1.0, 1)


@pytest.mark.fanmesh(conf({"after": "p95"}))
@pytest.mark.parametrize(("latency", "count", "why"), [(0, 0, "cold"), (3000, 60, "all_slow")])
async def test_denied_at_the_send(lab: Lab, latency: int, count: int, why: str) -> None:
    """Too little is known, or everything is slow: the first one has no hedge, and the policy's counters say why."""
    pair(lab, ends(1, after=ms(500)), ends(2))
    for _ in range(count):
        lab.books.of("a").latencies.observe(ms(latency), 0)
    r = await lab.dispatch("p")
    assert (r.value, len(r.report["a"].attempts)) == ({"a": 1}, 1)
    assert lab.books.of("a").counts == {("hedge_denied", why): 1}


@pytest.mark.fanmesh(conf({"after": "p95"}))
async def test_the_quantile_of_the_worker_s_attempts(lab: Lab) -> None:
    """Sixty answers of 10 ms: the next straggler is hedged after as long, within the width of a bucket."""
    _, other = pair(lab, ends(1, after=ms(10)), ends(2, after=ms(10)))
    for _ in range(60):
        await lab.dispatch("p")
    lab.worker("a").members[0].plays(hangs())
    for u in (0.1, 0.9):
        lab.chance(u)
        r = await lab.dispatch("p")
        if len(r.report["a"].attempts) == 2:
            break
    hedged = r.report["a"].attempts[1].started_after
    assert ms(10) <= hedged <= ms(10.6)
    assert other.calls


@pytest.mark.fanmesh(conf({"max_extra_load": 0.5}, retry={"max_attempts": 2}))
async def test_extra_load(lab: Lab) -> None:
    """One hedge for two first attempts, whatever the retry budget has left."""
    pair(lab, ends(1, after=ms(100)), ends(1, after=ms(100)))
    made = []
    for _ in range(6):
        r = await lab.dispatch("p")
        made.append(len(r.report["a"].attempts))
    assert made == [1, 2, 1, 2, 1, 2]
    assert lab.books.of("a").counts["hedge_denied", "extra_load"] == 3


@pytest.mark.fanmesh(conf(retry={"max_attempts": 2, "budget": {"ratio": 0.5, "min_per_second": 0}}))
async def test_the_retry_budget_covers_hedges(lab: Lab) -> None:
    """A hedge takes 1 of it, too; denied, its allowance is given back."""
    pair(lab, ends(1, after=ms(100)), ends(1, after=ms(100)))
    made = [len((await lab.dispatch("p")).report["a"].attempts) for _ in range(4)]
    assert (made, lab.books.of("a").counts["hedge_denied", "budget"]) == ([1, 2, 1, 2], 2)
    assert lab.books.of("a").hedges.tokens == 2.0


@pytest.mark.fanmesh(conf())
async def test_no_other_endpoint(lab: Lab) -> None:
    """With one endpoint there is no timer, no call, and nothing is spent."""
    lab.worker("a").plays(ends(1, after=ms(100)))
    r = await lab.dispatch("p")
    assert (r.value, decided(r), lab.books.of("a").counts) == ({"a": 1}, [], {("hedge_denied", "no_other_endpoint"): 1})
    assert lab.books.of("a").hedges.tokens == 1.0


@pytest.mark.fanmesh(conf(worker={"limit": {"endpoint_in_flight": 1}}))
async def test_a_refused_hedge_keeps_the_first(lab: Lab) -> None:
    """The other endpoint is full: that is no attempt, everything it had taken is given back, and the first one goes on."""
    _, two = pair(lab, ends(1, after=ms(100)), ends(2))
    lab.books.of("a").endpoint(two.address).in_flight.count = 1
    r = await lab.dispatch("p")
    lab.books.of("a").endpoint(two.address).in_flight.count = 0
    book = lab.books.of("a")
    assert (r.value, r.elapsed, decided(r)) == ({"a": 1}, ms(100), [("hedge_denied", "no_other_endpoint")])
    assert (book.hedges.tokens, book.budget._given_sum, len(r.report["a"].attempts)) == (1.0, 0, 1)


@pytest.mark.fanmesh(conf())
@pytest.mark.parametrize("kind", [AttemptKind.HEDGE, AttemptKind.RETRY, AttemptKind.SHADOW])
async def test_somebody_else_s_hedge_is_not_hedged(lab: Lab, kind: AttemptKind) -> None:
    """Hedges of hedges multiply: the caller's own further attempt makes none here."""
    pair(lab, ends(1, after=ms(100)), ends(2))
    request = Request("r", "p", Box.of(None), lab.clock.now(), inherited=kind)
    reply = await dispatch(lab._engine, lab.config.catalogue, request)
    assert reply.value == {"a": 1}
    assert lab.books.of("a").counts == {("hedge_denied", "inherited"): 1}


@pytest.mark.fanmesh(conf(worker={"effect": "write", "idempotent": True}))
async def test_an_idempotent_write_is(lab: Lab) -> None:
    """Calling it twice is as good as calling it once."""
    pair(lab, hangs(), ends(2, after=ms(5)))
    r = await lab.dispatch("p")
    assert (r.value, r.elapsed) == ({"a": 2}, ms(25))


# ---------------------------------------------------------------------- cancellation


@pytest.mark.fanmesh(conf())
async def test_a_caller_that_goes_reaches_both(lab: Lab) -> None:
    """The caller's cancellation is seen by the first attempt and by its hedge."""
    one, two = pair(lab, hangs(), hangs())
    task = asyncio.ensure_future(lab.dispatch("p"))
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.wait([task])
    await lab.settle()
    assert (task.cancelled(), one.cancelled, two.cancelled) == (True, 1, 1)


@pytest.mark.fanmesh(conf(branch={"timeout": "50ms"}))
async def test_the_deadline_reaches_both(lab: Lab) -> None:
    """The branch's timeout cancels the first attempt and its hedge."""
    one, two = pair(lab, hangs(), hangs())
    r = await lab.dispatch("p")
    row = r.report["a"]
    assert (r.elapsed, row.state, row.reason, one.cancelled, two.cancelled) == (ms(50), S.TIMED_OUT, R.HARD_TIMEOUT, 1, 1)


@pytest.mark.fanmesh(conf())
@pytest.mark.parametrize("then", [None, Fault.internal("too late"), Fault.invalid_argument("too late")])
async def test_a_loser_that_swallows_its_cancellation(lab: Lab, then: Fault | None) -> None:
    """The branch waits for its end, for it has no other owner; what it then says changes nothing."""
    one, _ = pair(lab, stubborn(hangs(), lingers=ms(10), then=then), ends(2, after=ms(5)))
    r = await lab.dispatch("p")
    assert (r.value, r.elapsed, one.running) == ({"a": 2}, ms(35), 0)


@pytest.mark.fanmesh(conf())
async def test_a_hedge_that_swallows_its_cancellation(lab: Lab) -> None:
    """The same with the roles exchanged."""
    _, two = pair(lab, ends(1, after=ms(30)), stubborn(hangs(), lingers=ms(10)))
    r = await lab.dispatch("p")
    assert (r.value, r.elapsed, two.running) == ({"a": 1}, ms(40), 0)


@pytest.mark.fanmesh(conf(branch={"timeout": "32ms"}, worker={"limit": {"in_flight": 4}}))
@pytest.mark.parametrize("first", [True, False])
async def test_the_deadline_while_a_loser_lingers(lab: Lab, first: bool) -> None:  # noqa: FBT001  (a table)
    """The branch ends on time; its loser is still owned, seen to its end, and its place is given back then."""
    loser = stubborn(hangs(), lingers=ms(50))
    pair(lab, *((ends(1, after=ms(30)), loser) if first else (loser, ends(1, after=ms(10)))))
    r = await lab.dispatch("p")
    assert (r.elapsed, r.report["a"].reason) == (ms(32), R.HARD_TIMEOUT)
    assert lab.books.of("a").queue.running > 0
    await asyncio.sleep(0.1)
    assert lab.books.of("a").queue.running == 0


@pytest.mark.fanmesh(conf())
async def test_the_caller_goes_in_the_instant_of_a_win(lab: Lab) -> None:
    """The hedge has answered and the caller has gone, at once: the branch ends, and nobody is called again."""
    one, _ = pair(lab, hangs(), ends(2, after=ms(5)))
    task = asyncio.ensure_future(lab.dispatch("p"))
    loop = asyncio.get_running_loop()
    loop.call_later(0.025, task.cancel)
    await asyncio.wait([task])
    await lab.settle()
    assert (task.cancelled(), one.cancelled) == (True, 1)


@pytest.mark.fanmesh(conf(branch={"soft_timeout": "25ms"}, accept={"min_success": 0}))
async def test_left_behind_while_both_fly(lab: Lab) -> None:
    """A soft timeout cancels both attempts, and the branch is CANCELLED and not failed."""
    one, two = pair(lab, hangs(), hangs())
    r = await lab.dispatch("p")
    row = r.report["a"]
    assert (row.state, row.reason, one.cancelled, two.cancelled) == (S.CANCELLED, R.SOFT_TIMEOUT, 1, 1)


# ---------------------------------------------------------------------- a place of its own


LIMIT = {"limit": {"in_flight": 1, "queue": 4}}


@pytest.mark.fanmesh(conf(worker=LIMIT))
async def test_a_hedge_needs_a_place(lab: Lab) -> None:
    """The worker's limit holds for hedges: without a place there is none, and its allowance is given back."""
    pair(lab, ends(1, after=ms(100)), ends(2))
    r = await lab.dispatch("p")
    assert (r.value, decided(r), lab.books.of("a").hedges.tokens) == ({"a": 1}, [("hedge_denied", "limit")], 1.0)


@pytest.mark.fanmesh(conf(worker={"limit": {"in_flight": 2, "queue": 4}}))
async def test_a_place_is_given_back_when_its_call_is_over(lab: Lab) -> None:
    """Two calls, two places; when the hedge has failed its place is free, and the first one goes on."""
    pair(lab, ends(1, after=ms(100)), fails("INTERNAL", after=ms(10)))
    task, queue = asyncio.ensure_future(lab.dispatch("p")), lab.books.of("a").queue
    taken = []
    for _ in range(4):
        await asyncio.sleep(0.012)
        taken.append(queue.running)
    r = await task
    assert (taken, r.value) == ([1, 2, 1, 1], {"a": 1})


@pytest.mark.fanmesh(conf(worker={"limit": {"in_flight": 2}}))
async def test_a_retry_takes_over_the_place_of_what_it_follows(lab: Lab) -> None:
    """The first has failed and its hedge flies: two places are enough for the next attempt."""
    pair(lab, fails("UNAVAILABLE", after=ms(25)), hangs())
    lab.worker("a").members[0].scripts = (fails("UNAVAILABLE", after=ms(25)), hangs(), ends(3, after=ms(5)))
    r = await lab.dispatch("p")
    assert (r.value, r.elapsed) == ({"a": 3}, ms(30))


# ---------------------------------------------------------------------- streams


def streaming(**rest: Any) -> dict[str, Any]:
    """The worker answers in parts."""
    return conf(streaming=["a"], **rest)


@pytest.mark.fanmesh(streaming())
async def test_a_stream_races_on_its_first_part(lab: Lab) -> None:
    """The hedge's first part wins: the first one is cancelled in that instant, not when the hedge has ended."""
    one, _ = pair(lab, hangs(), streams([[1], [2], [3]], every=ms(5)))
    task = asyncio.ensure_future(lab.dispatch("p"))
    await asyncio.sleep(0.0251)
    assert (one.cancelled, one.running) == (1, 0)
    r = await task
    assert (r.value, r.elapsed, [a.won for a in r.report["a"].attempts]) == ({"a": [1, 2, 3]}, ms(35), [False, True])


@pytest.mark.fanmesh(streaming())
async def test_the_first_one_s_part_cancels_the_hedge(lab: Lab) -> None:
    """The other way round."""
    _, two = pair(lab, streams([[1], [2]], every=ms(30)), hangs())
    task = asyncio.ensure_future(lab.dispatch("p"))
    await asyncio.sleep(0.0301)
    assert (two.cancelled, two.running) == (1, 0)
    r = await task
    assert (r.value, r.elapsed) == ({"a": [1, 2]}, ms(60))


@pytest.mark.fanmesh(streaming())
async def test_a_stream_whose_first_part_is_quick_is_not_hedged(lab: Lab) -> None:
    """After a part nothing is launched, however long the rest takes; its latency is that of the first part."""
    pair(lab, streams([[1], [2], [3]], every=ms(15)), hangs())
    r = await lab.dispatch("p")
    assert (r.value, len(r.report["a"].attempts)) == ({"a": [1, 2, 3]}, 1)
    assert (lab.books.of("a").latencies.quantile(1.0, lab.clock.now()) or 0) <= ms(15.8)


@pytest.mark.fanmesh(streaming())
async def test_a_loser_s_parts_are_not_mixed_in(lab: Lab) -> None:
    """One that swallows its cancellation and goes on to stream is told to stop."""
    late = stubborn(hangs(), lingers=ms(7))
    one, two = pair(lab, late, streams([[1], [2], [3]], every=ms(5)))
    swallowed = streams([[7], [8]])

    async def play(value: Any, take: Any) -> Any:
        try:
            return await late.play(value, take)
        except asyncio.CancelledError:
            return await swallowed.play(value, take)

    one.plays(Script(play, "goes on"))
    r = await lab.dispatch("p")
    assert (r.value, r.complete, two.cancelled) == ({"a": [1, 2, 3]}, True, 0)


@pytest.mark.fanmesh(streaming())
async def test_after_a_replacing_winner_broke_its_whole_is_replaced(lab: Lab) -> None:
    """The hedge won by its first part, and broke: another attempt may say everything again."""
    broken = streams([[1]], every=ms(5), replace=True, then=fails("UNAVAILABLE"))
    pair(lab, hangs(), broken)
    for place in lab.worker("a").members:
        place.scripts = (hangs(), broken, streams([[7], [8]], every=ms(1)))
    r = await lab.dispatch("p")
    assert (r.value, r.complete, len(r.report["a"].attempts)) == ({"a": [7, 8]}, True, 3)

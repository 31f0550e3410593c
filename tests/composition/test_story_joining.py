"""Equal calls at the same time, under the whole engine: one of them is made, and each of those who wait keeps its own end."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from dispatcher.flow.ports import Reply
from fanmesh.model.fault import Code, Fault, FaultKind
from fanmesh.model.outcome import Success
from fanmesh.model.states import AttemptKind, BranchReason, BranchState
from fanmesh.model.usage import Usage
from fanmesh.testing import Lab, computes, ends, fails, hangs, ms, run_virtual
from tests.kit.caching import ask, conf, counts, fate, noted, row, then
from tests.kit.plans import gives, raises

R, S = BranchReason, BranchState
JOIN = {"ttl": "0s"}
JOINED, TOOK_OVER = ("cache_joined", "in_flight"), ("cache_takes_over", "leader_lost")


async def together(lab: Lab, *arrivals: int, **request: Any) -> list[Reply]:
    """Equal requests that arrive after so many ms each."""
    return list(await asyncio.gather(*(ask(lab, after=after, **request) for after in arrivals)))


@pytest.mark.fanmesh(conf(JOIN, sla="95ms"))
async def test_one_call_for_all(lab: Lab) -> None:
    """Each is given the answer when it comes, has waited for so long, and has used up nothing; one has made the call."""
    lab.worker("a").plays(gives(Success({"n": 1}, 0.5, Usage(1, 2, 3), {"model": "m"}), after=ms(100)))
    replies = await together(lab, 0, 10, 20)
    rows = [row(reply) for reply in replies]
    assert [reply.value for reply in replies] == [{"a": {"n": 1}}] * 3
    assert [(one.started_after, one.elapsed, one.sla_met) for one in rows] == [
        (0, ms(100), False),
        (0, ms(90), True),
        (0, ms(80), True),
    ]
    assert [(len(one.attempts), bool(one.usage), one.confidence) for one in rows] == [
        (1, True, 0.5),
        (0, False, 0.5),
        (0, False, 0.5),
    ]
    assert [noted(reply) for reply in replies] == [[], [JOINED], [JOINED]]
    assert all(reply.report is not None and reply.report.complete for reply in replies)
    assert (len(lab.worker("a").calls), counts(lab)) == (1, {"miss": 1, "joined": 2})
    assert replies[0].value is not replies[1].value


@pytest.mark.fanmesh(conf(JOIN))
async def test_a_ttl_of_nothing_only_joins(lab: Lab) -> None:
    """Who asks after the answer has come calls anew."""
    lab.worker("a").plays(ends(1, after=ms(100)))
    await together(lab, 0, 99, 101, 150)
    assert len(lab.worker("a").calls) == 2
    assert len(lab.books.caches.branches["p", "a"].store) == 0


@pytest.mark.fanmesh(conf({"ttl": "30s", "coalesce": False}))
async def test_without_coalesce_each_calls(lab: Lab) -> None:
    """Until there is an answer."""
    lab.worker("a").plays(ends(1, after=ms(100)))
    await together(lab, 0, 50, 150)
    assert (len(lab.worker("a").calls), counts(lab)) == (2, {"miss": 2, "hit": 1})


@pytest.mark.fanmesh(conf(JOIN))
async def test_a_failure_is_shared(lab: Lab) -> None:
    """A worker in trouble is not called by each of those who have waited for it. The next one to ask calls."""
    lab.worker("a").plays(fails("UNAVAILABLE", "no", after=ms(100)))
    replies = await together(lab, 0, 10, 20, 101)
    assert [fate(reply) for reply in replies] == [(S.FAILED, R.WORKER_ERROR)] * 4
    assert [(row(reply).code, row(reply).detail) for reply in replies] == [(Code.UNAVAILABLE, "no")] * 4
    assert len(lab.worker("a").calls) == 2


@pytest.mark.fanmesh(conf({"ttl": "30s", "stale_on_error": "5m"}))
async def test_an_older_answer_stands_in_for_all(lab: Lab) -> None:
    """For each of those who share the failure."""
    lab.worker("a").plays(then(ends(1), fails("UNAVAILABLE", after=ms(100))))
    await ask(lab)
    replies = await together(lab, 40_000, 40_010)
    assert [(reply.value, fate(reply)) for reply in replies] == [({"a": 1}, (S.FELL_BACK, R.WORKER_ERROR))] * 2
    assert (len(lab.worker("a").calls), counts(lab)) == (2, {"miss": 1, "stale": 2})


@pytest.mark.fanmesh(conf(JOIN, output="${output + input}"))
async def test_an_answer_that_does_not_fit_its_leader(lab: Lab) -> None:
    """Is the leader's failure. It is the worker's answer that is shared, and each maps it for itself."""
    lab.books.caches.of("p", lab.config.catalogue.plans["p"].nodes[0])
    lab.worker("a").plays(ends(1, after=ms(100)))
    replies = await together(lab, 0, 10, given="text")
    assert [fate(reply) for reply in replies] == [(S.FAILED, R.INVALID_RESPONSE)] * 2
    assert len(lab.worker("a").calls) == 1


# ---------------------------------------------------------------------- the leader is lost


@pytest.mark.fanmesh(conf({"ttl": "30s"}))
async def test_the_leaders_caller_goes_away(lab: Lab) -> None:
    """Its call is cancelled like any; the one who has waited longest makes its own, and the others wait for that."""
    lab.worker("a").plays(ends(1, after=ms(100)))
    leader = asyncio.ensure_future(ask(lab))
    rest = asyncio.ensure_future(together(lab, 10, 20, 30))
    await asyncio.sleep(0.05)
    leader.cancel()
    with suppress(asyncio.CancelledError):
        await leader
    replies = await rest
    assert [row(reply).elapsed for reply in replies] == [ms(140), ms(130), ms(120)]
    assert [noted(reply) for reply in replies] == [[JOINED, TOOK_OVER], [JOINED], [JOINED]]
    assert [(one.started_after, one.elapsed) for one in row(replies[0]).attempts] == [(ms(40), ms(100))]
    assert (len(lab.worker("a").calls), lab.worker("a").cancelled) == (2, 1)
    assert counts(lab) == {"miss": 2, "joined": 2}


@pytest.mark.fanmesh(conf(JOIN, timeout="100ms"))
async def test_the_leader_times_out(lab: Lab) -> None:
    """By its own timeout: nobody else's time is over. One after the other calls, never two at once, each until its own end."""
    lab.worker("a").plays(hangs())
    replies = await together(lab, 0, 50, 90)
    assert [fate(reply) for reply in replies] == [(S.TIMED_OUT, R.HARD_TIMEOUT)] * 3
    assert [row(reply).elapsed for reply in replies] == [ms(100)] * 3
    assert [[one.started_after for one in row(reply).attempts] for reply in replies] == [[0], [ms(50)], [ms(60)]]
    assert (len(lab.worker("a").calls), lab.worker("a").cancelled) == (3, 3)


@pytest.mark.fanmesh(conf(JOIN))
async def test_the_leader_had_less_time(lab: Lab) -> None:
    """A request of 200 ms leads one of 9 s: its end is its own, and the answer still comes to the other."""
    lab.worker("a").plays(then(hangs(), ends(1, after=ms(50))))
    short, long = await asyncio.gather(ask(lab, within=200), ask(lab, after=10))
    assert short.refusal is not None
    assert (fate(short), short.refusal.code) == ((S.TIMED_OUT, R.REQUEST_DEADLINE), Code.DEADLINE_EXCEEDED)
    assert (long.value, noted(long)) == ({"a": 1}, [JOINED, TOOK_OVER])
    assert len(lab.worker("a").calls) == 2


@pytest.mark.fanmesh(conf(JOIN))
async def test_the_worker_speaks_of_the_leaders_time(lab: Lab) -> None:
    """DEADLINE_EXCEEDED before the deadline: the worker saw that the leader's time would not do. Another's may."""
    lab.worker("a").plays(then(fails("DEADLINE_EXCEEDED", after=ms(20)), ends(1, after=ms(50))))
    first, second = await together(lab, 0, 10)
    assert (fate(first), second.value) == ((S.FAILED, R.WORKER_ERROR), {"a": 1})


@pytest.mark.fanmesh(conf(JOIN))
async def test_a_defect_of_the_leader(lab: Lab) -> None:
    """Is shared like an error of the worker's: whoever made the call would have met it."""
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    lab.worker("a").plays(then(raises(RuntimeError("bug"), after=ms(20)), ends(1)))
    assert [fate(reply) for reply in await together(lab, 0, 10)] == [(S.FAILED, R.WORKER_ERROR)] * 2


def test_the_leaders_request_is_complete_without_it() -> None:
    """Another branch has met its rule: the call is cancelled, and whoever waits for it calls anew."""

    async def main() -> None:
        given = conf(JOIN)
        given["workers"]["b"] = dict(given["workers"]["a"])
        given["plans"]["p"]["branches"]["b"] = {}
        given["plans"]["p"]["complete"] = {"until": "first"}
        lab = Lab(given)
        lab.worker("a").plays(then(hangs(), ends(1, after=ms(10))))
        lab.worker("b").plays(then(ends(2, after=ms(50)), hangs()))
        first, second = await together(lab, 0, 10)
        assert (first.value, fate(first)) == ({"b": 2}, (S.CANCELLED, R.COMPLETION_MET))
        assert (second.value, noted(second)) == ({"a": 1}, [JOINED, TOOK_OVER])
        await lab.settle()
        lab.assert_nothing_left()

    run_virtual(main())


@pytest.mark.fanmesh(conf(JOIN, workers={"a": {"limit": {"in_flight": 1, "queue": 0}}}))
async def test_a_refused_place_is_each_ones_own(lab: Lab) -> None:
    """A leader that the queue has turned away says nothing of the worker: the next one asks for a place itself."""
    lab.worker("a").plays(then(hangs(), ends(1, after=ms(30))))
    other = asyncio.ensure_future(ask(lab, "other"))
    await asyncio.sleep(0.01)
    replies = await together(lab, 0, 0)
    assert [fate(reply) for reply in replies] == [(S.REJECTED, R.OVERLOAD)] * 2
    other.cancel()
    with suppress(asyncio.CancelledError):
        await other
    await lab.settle()
    assert (await ask(lab)).value == {"a": 1}


@pytest.mark.fanmesh(conf(JOIN, workers={"a": {"limit": {"in_flight": 1, "queue": 9}}}))
async def test_who_has_less_time_does_not_wait_behind_a_leader_in_the_queue(lab: Lab) -> None:
    """The leader has time and waits for a place by it; the urgent one asks for the place itself, and is called first."""
    lab.worker("a").plays(ends(1, after=ms(100)))
    other = asyncio.ensure_future(ask(lab, "other"))
    await asyncio.sleep(0.01)
    patient = asyncio.ensure_future(ask(lab, "same", within=5_000))
    urgent, behind = await asyncio.gather(ask(lab, "same", after=5, within=250), ask(lab, "same", after=10, within=8_000))
    assert (urgent.value, row(urgent).queued, noted(urgent)) == ({"a": 1}, ms(85), [])
    assert (noted(behind), row(behind).elapsed) == ([JOINED], ms(180))
    assert ((await patient).value, row(await patient).queued) == ({"a": 1}, ms(190))
    await other
    assert lab.worker("a").calls == ["other", "same", "same"]


@pytest.mark.fanmesh(conf(JOIN))
async def test_a_call_that_has_left_is_good_enough_for_everybody(lab: Lab) -> None:
    """Nothing is faster than a call that flies already, however urgent one is."""
    lab.worker("a").plays(ends(1, after=ms(100)))
    await asyncio.gather(ask(lab), ask(lab, after=10, within=150))
    assert len(lab.worker("a").calls) == 1


# ---------------------------------------------------------------------- who waits ends by itself


@pytest.mark.fanmesh(conf(JOIN, timeout="100ms"))
async def test_who_waits_has_a_timeout_of_its_own(lab: Lab) -> None:
    """Counted from when it began to wait; it ends there, and the leader's call goes on."""
    lab.worker("a").plays(ends(1, after=ms(95)))
    first, second = await asyncio.gather(ask(lab), ask(lab, after=10, within=60))
    assert (first.value, fate(second)) == ({"a": 1}, (S.TIMED_OUT, R.REQUEST_DEADLINE))
    assert row(second).attempts == ()
    assert (len(lab.worker("a").calls), lab.worker("a").cancelled) == (1, 0)


def test_who_waits_is_left_behind_at_its_soft_timeout() -> None:
    """Its soft timeout, too, is counted from when it began to wait, and does not begin anew when it has to call itself."""

    async def main() -> None:
        given = conf(JOIN, soft_timeout="40ms")
        given["workers"]["b"] = dict(given["workers"]["a"])
        given["plans"]["p"]["branches"]["b"] = {}
        lab = Lab(given)
        lab.worker("a").plays(ends(1, after=ms(100)))
        lab.worker("b").plays(ends(2))
        _, reply = await together(lab, 0, 10)
        assert (fate(reply), noted(reply)) == ((S.CANCELLED, R.SOFT_TIMEOUT), [JOINED, TOOK_OVER])
        assert reply.report is not None
        assert (reply.report.elapsed, [one.started_after for one in row(reply).attempts]) == (ms(40), [ms(30)])
        await lab.settle()
        lab.assert_nothing_left()

    run_virtual(main())


@pytest.mark.fanmesh(conf(JOIN))
async def test_who_waits_goes_away(lab: Lab) -> None:
    """Only its own request ends; the worker hears nothing of it."""
    lab.worker("a").plays(ends(1, after=ms(100)))
    leader, waits = asyncio.ensure_future(ask(lab)), asyncio.ensure_future(ask(lab, after=10))
    await asyncio.sleep(0.05)
    waits.cancel()
    with suppress(asyncio.CancelledError):
        await waits
    assert (await leader).value == {"a": 1}
    assert (len(lab.worker("a").calls), lab.worker("a").cancelled) == (1, 0)


@pytest.mark.fanmesh(conf(JOIN))
async def test_leader_and_heir_go_away_in_one_step(lab: Lab) -> None:
    """The call is handed over to one that is cancelled, too: it goes on to the next."""
    lab.worker("a").plays(ends(1, after=ms(100)))
    gone = [asyncio.ensure_future(ask(lab, after=after)) for after in (0, 10, 20)]
    stays = asyncio.ensure_future(ask(lab, after=30))
    await asyncio.sleep(0.05)
    for task in gone:
        task.cancel()
    await asyncio.wait(gone)
    assert ((await stays).value, noted(await stays)) == ({"a": 1}, [JOINED, TOOK_OVER])
    assert len(lab.worker("a").calls) == 2


# ---------------------------------------------------------------------- who waits for whom


@pytest.mark.parametrize(
    ("other", "called"),
    [
        ({}, 1),
        ({"critical": False}, 2),
        ({"inherited": AttemptKind.HEDGE}, 2),
        ({"attributes": {"tenant": "x"}}, 1),
    ],
    ids=["an equal one", "a sheddable one", "a hedge", "an attribute it is not told"],
)
@pytest.mark.fanmesh(conf(JOIN))
async def test_who_does_not_wait_for_whom(lab: Lab, other: dict[str, Any], called: int) -> None:
    """A sheddable request does not lead a critical one; somebody's hedge does not wait for the call that it is to overtake."""
    lab.worker("a").plays(computes(lambda _: 1, after=ms(100)))
    await asyncio.gather(ask(lab), ask(lab, after=10, **other))
    assert len(lab.worker("a").calls) == called


@pytest.mark.fanmesh(conf({"ttl": "30s", "stale_on_error": "5m"}))
async def test_what_others_have_had_meanwhile_is_fresh(lab: Lab) -> None:
    """The call has failed, and an equal one of another kind has brought an answer since: that is a hit."""
    lab.worker("a").plays(then(fails("UNAVAILABLE", after=ms(100)), ends(1, after=ms(10))))
    first, _ = await asyncio.gather(ask(lab), ask(lab, after=10, critical=False))
    assert (fate(first), noted(first)) == ((S.SUCCEEDED, R.NONE), [("cache_hit", "age 0.1s")])
    assert counts(lab) == {"miss": 1, "hit": 1}


@pytest.mark.fanmesh(conf(JOIN))
async def test_a_local_timeout_of_the_leader_is_its_own(lab: Lab) -> None:
    """The leader's attempt has run out of the time that was left to it."""
    late = Fault(FaultKind.LOCAL_TIMEOUT, Code.DEADLINE_EXCEEDED, retryable=True)
    lab.worker("a").plays(then(gives(late, after=ms(20)), ends(1, after=ms(50))))
    first, second = await together(lab, 0, 10)
    assert (fate(first), second.value) == ((S.TIMED_OUT, R.HARD_TIMEOUT), {"a": 1})

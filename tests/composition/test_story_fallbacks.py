"""Fallbacks under the whole engine: when the next one is asked, within one deadline, and what the report says of both."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dispatcher.policies.breaker import State
from fanmesh.model.fault import Code, Fault, FaultKind
from fanmesh.model.states import AttemptKind, BranchReason, BranchState, CompletedBy
from fanmesh.testing import Lab, Script, ends, fails, hangs, ms, rubbish, streams
from tests.kit.fallbacks import NO_FLOOR, B, conf, fate, made, noted
from tests.kit.plans import gives, oversize

R, S, C = BranchReason, BranchState, CompletedBy


# ---------------------------------------------------------------------- when


FAULTS: dict[str, tuple[Script, BranchReason, str]] = {
    "unavailable": (fails("UNAVAILABLE", after=ms(10)), R.WORKER_ERROR, "UNAVAILABLE"),
    "fatal": (fails("INVALID_ARGUMENT", after=ms(10)), R.WORKER_ERROR, "INVALID_ARGUMENT"),
    "it cancels itself": (fails("CANCELLED", after=ms(10)), R.WORKER_ERROR, "CANCELLED"),
    "rubbish": (rubbish(after=ms(10)), R.INVALID_RESPONSE, "invalid_response"),
    "too large": (oversize(after=ms(10)), R.TOO_LARGE, "too_large"),
    "asks for peace": (
        gives(Fault(FaultKind.WORKER_ERROR, Code.RESOURCE_EXHAUSTED, retry_after=-1), after=ms(10)),
        R.WORKER_ERROR,
        "RESOURCE_EXHAUSTED",
    ),
}


@pytest.mark.fanmesh(conf({"required": True, "fallback": B}))
@pytest.mark.parametrize("case", FAULTS)
async def test_whatever_the_worker_fails_with_the_fallback_is_asked(lab: Lab, case: str) -> None:
    """FELL_BACK satisfies `required` and counts in coverage; the reason is that of the worker's failure."""
    script, reason, why = FAULTS[case]
    lab.worker("a").plays(script)
    lab.worker("b").plays(ends({"n": 2}, after=ms(20), confidence=0.5))
    r = await lab.dispatch("p", {"x": 1})
    row = r.report["a"]
    assert fate(row) == (S.FELL_BACK, reason, "b")
    assert (r.value, r.elapsed, r.coverage.ratio, r.coverage.fell_back) == ({"a": {"n": 2}}, ms(30), 1.0, 1)
    assert (row.endpoint, row.confidence, row.merged, row.started_after, row.elapsed) == ("lab:b", 0.5, True, 0, ms(30))
    assert noted(row) == [("fallback", f"{why} → worker b")]
    assert [one[:2] for one in made(row)] == [(0, "a"), (1, "b")]
    assert [one.won for one in row.attempts] == [False, True]
    assert lab.worker("b").calls == [{"x": 1}]  # what the branch was sent
    assert lab.books.of("a").counts["fallback", why] == 1
    assert (r.report.complete, r.report.degraded.names()) == (False, ("error",))  # it is not the answer that was wanted first
    lab.assert_nothing_left()


@pytest.mark.fanmesh(conf({"timeout": "300ms", "fallback": B}))
async def test_the_timeout_of_the_branch_is_when_its_fallback_is_asked(lab: Lab) -> None:
    """`timeout: 300ms, fallback: {worker: b}`: b is asked after 300 ms, and has the rest of the request's time."""
    a = lab.worker("a").plays(hangs())
    lab.worker("b").plays(ends(2, after=ms(600)))
    r = await lab.dispatch("p")
    row = r.report["a"]
    assert fate(row) == (S.FELL_BACK, R.HARD_TIMEOUT, "b")
    assert (r.elapsed, row.elapsed, a.cancelled) == (ms(900), ms(900), 1)
    assert [(one.started_after, one.elapsed, one.cancelled) for one in row.attempts] == [
        (0, ms(300), True),
        (ms(300), ms(600), False),
    ]
    assert noted(row) == [("fallback", "local_timeout → worker b")]
    lab.assert_nothing_left()


SLOW: dict[str, Any] = {"timeout": "300ms", "fallback": {**B, "timeout": "100ms"}, "if_missing": {"use": 0}}


@pytest.mark.fanmesh(conf(SLOW, accept=NO_FLOOR))
async def test_a_fallback_that_is_too_slow_leaves_the_first_fault(lab: Lab) -> None:
    """Its own `timeout` ends it; the branch has ended as its worker did, and then its default stands in."""
    lab.worker("a").plays(fails("INTERNAL", after=ms(50)))
    b = lab.worker("b").plays(hangs())
    r = await lab.dispatch("p")
    row = r.report["a"]
    assert fate(row) == (S.DEFAULTED, R.WORKER_ERROR, "a")
    assert (r.elapsed, r.value, b.cancelled, row.code) == (ms(150), {"a": 0}, 1, Code.INTERNAL)
    assert noted(row) == [("fallback", "INTERNAL → worker b"), ("fallback_failed", "local_timeout")]
    assert [one[:2] for one in made(row)] == [(0, "a"), (1, "b")]
    assert row.endpoint == "lab:a"
    lab.assert_nothing_left()


@pytest.mark.fanmesh(conf({"fallback": B}))
async def test_all_of_it_has_one_deadline(lab: Lab) -> None:
    """Stop cuts the fallback as it would cut the worker: TIMED_OUT/REQUEST_DEADLINE, whatever was before."""
    lab.worker("a").plays(fails("INTERNAL", after=ms(500)))
    b = lab.worker("b").plays(hangs())
    r = await lab.dispatch("p")
    assert fate(r.report["a"])[:2] == (S.TIMED_OUT, R.REQUEST_DEADLINE)
    assert (r.elapsed, b.cancelled, r.report.completed_by) == (ms(975), 1, C.HARD_TIMEOUT)
    await lab.settle()
    lab.assert_nothing_left()


@pytest.mark.fanmesh(conf({"fallback": B}))
async def test_a_worker_without_a_timeout_may_take_all_of_the_time(lab: Lab) -> None:
    """Then nothing is left for anybody else: b is not asked after stop."""
    lab.worker("a").plays(hangs())
    r = await lab.dispatch("p")
    assert fate(r.report["a"])[:2] == (S.TIMED_OUT, R.REQUEST_DEADLINE)
    assert lab.worker("b").calls == []
    lab.assert_nothing_left()


@pytest.mark.fanmesh(conf({"fallback": {**B, "min_time": "200ms"}}))
@pytest.mark.parametrize(("fails_at", "asked"), [(775, True), (776, False)])
async def test_with_less_than_its_min_time_left_it_is_not_asked(lab: Lab, fails_at: int, *, asked: bool) -> None:
    """The fault before stands then; 200 ms before stop (975 ms) is still enough."""
    lab.worker("a").plays(fails("INTERNAL", after=ms(fails_at)))
    lab.worker("b").plays(ends(2))
    r = await lab.dispatch("p")
    row = r.report["a"]
    assert fate(row) == ((S.FELL_BACK, R.WORKER_ERROR, "b") if asked else (S.FAILED, R.WORKER_ERROR, "a"))
    assert noted(row) == [("fallback", "INTERNAL → worker b") if asked else ("fallback_denied", "no_time")]


@pytest.mark.fanmesh(conf({"min_time": "500ms", "input": "${input.x}", "fallback": B}))
async def test_too_little_time_for_the_worker_may_be_enough_for_its_fallback(lab: Lab) -> None:
    """NOT_STARTED_NO_TIME is a failure like others: the quick one is asked, with what the branch would be sent."""
    lab.worker("b").plays(ends("quick"))
    r = await lab.dispatch("p", {"x": 7}, timeout=ms(400))
    row = r.report["a"]
    assert fate(row) == (S.FELL_BACK, R.NOT_STARTED_NO_TIME, "b")
    assert (lab.worker("a").calls, lab.worker("b").calls, row.started_after) == ([], [7], 0)


@pytest.mark.fanmesh(conf({"fallback": B}))
async def test_an_answer_of_the_worker_is_the_end(lab: Lab) -> None:
    """An answer of the worker's own is the end: nobody else is asked."""
    lab.worker("a").plays(ends(1))
    r = await lab.dispatch("p")
    assert (fate(r.report["a"]), lab.worker("b").calls, r.report.complete) == ((S.SUCCEEDED, R.NONE, "a"), [], True)


@pytest.mark.fanmesh(
    conf({"input": "${branches.x.output}", "fallback": B}, branches={"x": {}, "y": {"if": "false", "fallback": B}})
)
async def test_a_fallback_is_for_a_worker_that_failed_and_not_for_a_branch_that_does_not_run(lab: Lab) -> None:
    """A missing input, or an `if` that is false, is none of the worker's: no fallback."""
    lab.worker("x").plays(fails("NOT_FOUND"))
    r = await lab.dispatch("p")
    assert [fate(r.report[one])[:2] for one in "ay"] == [(S.SKIPPED, R.UPSTREAM_MISSING), (S.SKIPPED, R.CONDITION)]
    assert lab.worker("b").calls == []


@pytest.mark.fanmesh(conf({"fallback": B}, branches={"x": {"input": "${branches.a.output}", "min_time": "200ms"}}))
async def test_a_fallback_leaves_time_for_those_that_wait_for_the_branch(lab: Lab) -> None:
    """The branch's deadline is stop less their `min_time`, 775 ms, whoever is asked."""
    lab.worker("a").plays(fails("INTERNAL", after=ms(100)))
    b = lab.worker("b").plays(hangs())
    r = await lab.dispatch("p")
    assert (fate(r.report["a"])[:2], r.report["a"].elapsed, b.cancelled) == ((S.TIMED_OUT, R.HARD_TIMEOUT), ms(775), 1)
    assert fate(r.report["x"])[:2] == (S.SKIPPED, R.UPSTREAM_MISSING)
    await lab.settle()
    lab.assert_nothing_left()


# ---------------------------------------------------------------------- our own refusals


BROKEN = {"extends": "none", "breaker": {"consecutive_failures": 1, "failure_rate": None}}


@pytest.mark.fanmesh(conf({"fallback": B}, policies={"br": BROKEN}, workers={"a": {"policy": "br"}}))
async def test_an_open_breaker_sends_to_the_fallback_at_once(lab: Lab) -> None:
    """Nothing is sent to a; the first attempt of the branch, number 0, is at b, and its time begins there."""
    lab.worker("a").plays(fails("UNAVAILABLE"))
    lab.worker("b").plays(ends(2, after=ms(7)))
    await lab.dispatch("p")
    r = await lab.dispatch("p")
    row = r.report["a"]
    assert fate(row) == (S.FELL_BACK, R.BREAKER_OPEN, "b")
    assert made(row) == [(0, "b", "", True)]
    assert noted(row) == [("refused", "breaker_open"), ("fallback", "breaker_open → worker b")]
    assert (row.started_after, row.elapsed, len(lab.worker("a").calls)) == (0, ms(7), 1)
    lab.assert_nothing_left()


ONE_PLACE = {"limit": {"in_flight": 1, "queue": 0}}


@pytest.mark.fanmesh(conf({"fallback": B}, workers={"a": ONE_PLACE, "b": ONE_PLACE}))
async def test_a_full_worker_sends_to_the_fallback_which_has_its_own_places(lab: Lab) -> None:
    """Three at once: one at a, one at b, and the third is refused by both; the reason is that of its own worker."""
    lab.worker("a").plays(ends("a", after=ms(50)))
    lab.worker("b").plays(ends("b", after=ms(50)))
    replies = await asyncio.gather(*(lab.dispatch("p") for _ in range(3)))
    assert [fate(reply.report["a"]) for reply in replies] == [
        (S.SUCCEEDED, R.NONE, "a"), (S.FELL_BACK, R.OVERLOAD, "b"), (S.REJECTED, R.OVERLOAD, "a"),
    ]  # fmt: skip
    assert noted(replies[2].report["a"])[1:] == [
        ("fallback", "overloaded → worker b"), ("refused", "queue_full"), ("fallback_failed", "overloaded"),
    ]  # fmt: skip
    lab.assert_nothing_left()


@pytest.mark.fanmesh(conf({"fallback": B}, workers={"a": {"limit": {"rate": {"per_second": 1, "burst": 1}}}}))
async def test_a_rate_that_is_used_up_sends_to_the_fallback(lab: Lab) -> None:
    """RATE_LIMIT is the reason."""
    lab.worker("a").plays(ends("a"))
    lab.worker("b").plays(ends("b"))
    await lab.dispatch("p")
    r = await lab.dispatch("p")
    assert (fate(r.report["a"]), r.value) == ((S.FELL_BACK, R.RATE_LIMIT, "b"), {"a": "b"})


@pytest.mark.fanmesh(conf({"fallback": B}, policies={"br": BROKEN}, workers={"b": {"policy": "br"}}))
async def test_what_a_fallback_does_is_in_its_own_workers_books(lab: Lab) -> None:
    """Its failure opens b's breaker and not a's."""
    lab.worker("a").plays(fails("UNAVAILABLE"))
    lab.worker("b").plays(fails("UNAVAILABLE"))
    await lab.dispatch("p")
    assert lab.books.of("b").endpoint("lab:b").breaker.state is State.OPEN
    assert lab.books.of("a").endpoint("lab:a").breaker.state is State.CLOSED


# ---------------------------------------------------------------------- after attempts and hedges


RETRY = {"extends": "standard", "breaker": None, "retry": {"max_attempts": 2, "backoff": {"initial": "10ms", "max": "10ms"}}}


@pytest.mark.fanmesh(conf({"fallback": B}, policies={"re": RETRY}, workers={"a": {"policy": "re"}, "b": {"policy": "re"}}))
async def test_attempts_come_before_the_fallback_and_numbers_go_on(lab: Lab) -> None:
    """Two at a, then two at b: b's first one is a first one, with b's own retry budget; the worker is told numbers 2 and 3."""
    lab.chance(0.0)
    lab.worker("a").plays(fails("UNAVAILABLE"))
    lab.worker("b").plays(fails("UNAVAILABLE"), ends(2))
    r = await lab.dispatch("p")
    row = r.report["a"]
    assert [one[:2] for one in made(row)] == [(0, "a"), (1, "a"), (2, "b"), (3, "b")]
    assert [one.kind for one in row.attempts] == [
        AttemptKind.FIRST, AttemptKind.RETRY, AttemptKind.FIRST, AttemptKind.RETRY,
    ]  # fmt: skip
    assert [one.won for one in row.attempts] == [False, False, False, True]
    assert noted(row) == [
        ("retry", "UNAVAILABLE"), ("retry_denied", "max_attempts"),
        ("fallback", "UNAVAILABLE → worker b"), ("retry", "UNAVAILABLE"),
    ]  # fmt: skip
    lab.assert_nothing_left()


HEDGE = {
    "extends": "standard", "breaker": None, "retry": None, "balance": "round_robin",
    "hedge": {"after": "20ms", "max_extra_load": 1.0},
}  # fmt: skip


@pytest.mark.fanmesh(conf({"timeout": "100ms", "fallback": B}, policies={"he": HEDGE}, workers={"a": {"policy": "he"}}))
async def test_a_hedge_comes_before_the_fallback(lab: Lab) -> None:
    """Both calls of a are slow: the branch's timeout ends them both, and then b is asked."""
    one, two = lab.worker("a").replicas(2)
    one.plays(hangs())
    two.plays(hangs())
    lab.worker("b").plays(ends(2))
    r = await lab.dispatch("p")
    row = r.report["a"]
    assert (fate(row), r.elapsed) == ((S.FELL_BACK, R.HARD_TIMEOUT, "b"), ms(100))
    assert [(one.number, one.kind, one.worker) for one in row.attempts] == [
        (0, AttemptKind.FIRST, "a"), (1, AttemptKind.HEDGE, "a"), (2, AttemptKind.FIRST, "b"),
    ]  # fmt: skip
    assert one.cancelled + two.cancelled == 2
    lab.assert_nothing_left()


@pytest.mark.fanmesh(conf({"fallback": B}, policies={"he": HEDGE}, workers={"b": {"policy": "he"}}))
async def test_a_fallback_may_be_hedged_by_its_own_policy(lab: Lab) -> None:
    """The second call of b, 20 ms after its first, wins."""
    lab.worker("a").plays(fails("INTERNAL", after=ms(100)))
    slow, quick = lab.worker("b").replicas(2)
    slow.plays(hangs())
    quick.plays(ends(2, after=ms(5)))
    r = await lab.dispatch("p")
    row = r.report["a"]
    assert (fate(row), r.elapsed, slow.cancelled) == ((S.FELL_BACK, R.WORKER_ERROR, "b"), ms(125), 1)
    assert [(one.number, one.kind, one.won) for one in row.attempts] == [
        (0, AttemptKind.FIRST, False), (1, AttemptKind.FIRST, False), (2, AttemptKind.HEDGE, True),
    ]  # fmt: skip
    lab.assert_nothing_left()


@pytest.mark.fanmesh(
    conf({"fallback": B}, policies={"he": HEDGE}, workers={"a": {"policy": "he"}, "b": {"policy": "he"}}),
)
async def test_the_hedge_of_a_fallback_is_timed_from_its_own_send(lab: Lab) -> None:
    """A fails at 15 ms, before its hedge was due at 20: b's is due 20 ms after its own send, at 35, and not before."""
    lab.worker("a").replicas(2)
    lab.worker("a").plays(fails("INVALID_ARGUMENT", after=ms(15)))
    slow, quick = lab.worker("b").replicas(2)
    slow.plays(hangs())
    quick.plays(ends(2, after=ms(5)))
    r = await lab.dispatch("p")
    assert [(one.worker, one.started_after) for one in r.report["a"].attempts] == [("a", 0), ("b", ms(15)), ("b", ms(35))]
    assert r.elapsed == ms(40)
    lab.assert_nothing_left()


@pytest.mark.fanmesh(conf({"fallback": B}, streaming=("a", "b"), policies={"re": RETRY}, workers={"b": {"policy": "re"}}))
async def test_a_streaming_fallback_may_be_tried_again_by_its_own_policy(lab: Lab) -> None:
    """Its first attempt fails before a part; the parts of the second are the answer, under that one's number."""
    lab.chance(0.0)
    lab.worker("a").plays(fails("INTERNAL"))
    lab.worker("b").plays(fails("UNAVAILABLE"), streams([["y"], ["z"]], every=ms(5)))
    r = await lab.dispatch("p")
    row = r.report["a"]
    assert ([one[:2] for one in made(row)], r.value) == ([(0, "a"), (1, "b"), (2, "b")], {"a": ["y", "z"]})
    assert [one.won for one in row.attempts] == [False, False, True]
    lab.assert_nothing_left()

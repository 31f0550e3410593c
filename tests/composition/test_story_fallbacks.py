"""Fallbacks under the whole engine: who is asked after whom, within one deadline, and what the report says of both."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dispatcher.policies.breaker import State
from fanmesh.model.fault import Code, Fault, FaultKind
from fanmesh.model.report import BranchReport
from fanmesh.model.states import AttemptKind, BranchReason, BranchState, CompletedBy
from fanmesh.testing import Lab, Script, ends, fails, hangs, ms, rubbish, streams
from tests.kit.plans import gives, oversize, plan

R, S, C = BranchReason, BranchState, CompletedBy

B: dict[str, Any] = {"worker": "b"}
USE: dict[str, Any] = {"use": {"n": 0}}
NO_FLOOR = {"min_success": 0}


def conf(a: dict[str, Any], *, streaming: tuple[str, ...] = (), workers: Any = None, **rest: Any) -> dict[str, Any]:
    """A plan of the branch `a`, and of others in `branches`; b and c are workers, too."""
    others = rest.pop("branches", {})
    config = plan({"a": a, **others}, streaming=streaming, workers=workers, **rest)
    for name in "bc":
        given = {"target": "127.0.0.1:1", "effect": "read", "stream": name in streaming, **(workers or {}).get(name, {})}
        config["workers"].setdefault(name, given)
    return config


def fate(row: BranchReport) -> tuple[BranchState, BranchReason, str]:
    """How it ended, and who it was that answered."""
    return row.state, row.reason, row.worker


def noted(row: BranchReport) -> list[tuple[str, str]]:
    """Its decisions, without their times."""
    return [(one.what, one.why) for one in row.decisions]


def made(row: BranchReport) -> list[tuple[int, str, str, bool]]:
    """Its attempts: number, worker, fault, won."""
    return [(one.number, one.worker, one.fault, one.won) for one in row.attempts]


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


# ---------------------------------------------------------------------- mappings and depth


@pytest.mark.fanmesh(
    conf(
        {
            "input": {"q": "${input.x}"},
            "output": {"v": "${output.n}"},
            "fallback": {**B, "input": {"other": "${input.x + 1}"}, "output": {"v": "${output.m}", "from": "b"}},
        }
    )
)
async def test_a_fallback_has_its_own_mappings(lab: Lab) -> None:
    """What b is sent, and what its answer becomes."""
    lab.worker("a").plays(ends({"wrong": 1}))  # its output cannot be mapped: INVALID_RESPONSE
    lab.worker("b").plays(ends({"m": 5}))
    r = await lab.dispatch("p", {"x": 1})
    assert (lab.worker("a").calls, lab.worker("b").calls) == ([{"q": 1}], [{"other": 2}])
    assert (r.value, fate(r.report["a"])) == ({"a": {"v": 5, "from": "b"}}, (S.FELL_BACK, R.INVALID_RESPONSE, "b"))


@pytest.mark.fanmesh(conf({"input": {"q": "${input.x}"}, "output": {"v": "${output.n}"}, "fallback": B}))
async def test_without_mappings_of_its_own_it_has_those_of_the_branch(lab: Lab) -> None:
    """Another place for the same work needs nothing but a name."""
    lab.worker("a").plays(fails("NOT_FOUND"))
    lab.worker("b").plays(ends({"n": 5}))
    r = await lab.dispatch("p", {"x": 1})
    assert (r.value, lab.worker("b").calls) == ({"a": {"v": 5}}, [{"q": 1}])


@pytest.mark.fanmesh(conf({"fallback": {**B, "input": {"q": "${input.y}"}}}))
async def test_an_input_that_cannot_be_mapped_is_a_fallback_that_failed(lab: Lab) -> None:
    """Nobody is called, and the worker's own fault stands."""
    lab.worker("a").plays(fails("INTERNAL"))
    r = await lab.dispatch("p", {"x": 1})
    row = r.report["a"]
    assert (fate(row), lab.worker("b").calls) == ((S.FAILED, R.WORKER_ERROR, "a"), [])
    assert noted(row) == [("fallback", "INTERNAL → worker b"), ("fallback_failed", "invalid_response")]


DEEP = {**B, "fallback": {"worker": "c"}}


@pytest.mark.fanmesh(conf({"fallback": DEEP}))
async def test_a_fallback_may_have_one_itself(lab: Lab) -> None:
    """A, then b, then c; the reason stays a's."""
    lab.worker("a").plays(fails("INTERNAL", after=ms(1)))
    lab.worker("b").plays(fails("NOT_FOUND", after=ms(1)))
    lab.worker("c").plays(ends(3, after=ms(1)))
    r = await lab.dispatch("p")
    row = r.report["a"]
    assert (fate(row), r.value) == ((S.FELL_BACK, R.WORKER_ERROR, "c"), {"a": 3})
    assert [one[:2] for one in made(row)] == [(0, "a"), (1, "b"), (2, "c")]
    assert noted(row) == [
        ("fallback", "INTERNAL → worker b"), ("fallback_failed", "NOT_FOUND"), ("fallback", "NOT_FOUND → worker c"),
    ]  # fmt: skip
    lab.assert_nothing_left()


@pytest.mark.fanmesh(conf({"required": True, "fallback": DEEP}))
async def test_where_nobody_answers_the_branch_ends_as_its_own_worker_did(lab: Lab) -> None:
    """Its code and its words are in the status of the call: that is what has to be mended."""
    lab.worker("a").plays(fails("INTERNAL", "disk full"))
    lab.worker("b").plays(fails("NOT_FOUND"))
    lab.worker("c").plays(fails("UNAVAILABLE"))
    r = await lab.dispatch("p")
    row = r.report["a"]
    assert (fate(row), row.code, row.detail) == ((S.FAILED, R.WORKER_ERROR, "a"), Code.INTERNAL, "disk full")
    assert r.refusal is not None
    assert dict(r.refusal.metadata)["cause_code"] == "INTERNAL"
    assert [one[:2] for one in made(row)] == [(0, "a"), (1, "b"), (2, "c")]
    lab.assert_nothing_left()


@pytest.mark.fanmesh(conf({"fallback": {**B, "min_time": "990ms", "fallback": USE}}))
async def test_one_for_whom_there_is_no_time_is_passed_over(lab: Lab) -> None:
    """The next one is quicker."""
    lab.worker("a").plays(fails("INTERNAL"))
    r = await lab.dispatch("p")
    assert noted(r.report["a"]) == [("fallback_denied", "no_time"), ("fallback", "INTERNAL → value")]


# ---------------------------------------------------------------------- a value, another branch


@pytest.mark.fanmesh(conf({"fallback": USE, "if_missing": {"use": "never"}}))
async def test_a_value_stands_in_and_counts_as_an_answer(lab: Lab) -> None:
    """Unlike a default: FELL_BACK, in the coverage, and before `if_missing`. Nobody answered, so there is no endpoint."""
    lab.worker("a").plays(fails("INTERNAL", after=ms(4)))
    r = await lab.dispatch("p")
    row = r.report["a"]
    assert (r.value, r.coverage.ratio, r.elapsed) == ({"a": {"n": 0}}, 1.0, ms(4))
    assert (fate(row), row.endpoint, made(row)) == (
        (S.FELL_BACK, R.WORKER_ERROR, "a"), "", [(0, "a", "worker_error", False)],
    )  # fmt: skip
    assert noted(row) == [("fallback", "INTERNAL → value")]


STANDING = conf({"fallback": {"branch": "b"}}, branches={"b": {}})


@pytest.mark.fanmesh(STANDING)
@pytest.mark.parametrize(("a", "b"), [(10, 40), (40, 10), (20, 20)])
async def test_another_branchs_answer_stands_in(lab: Lab, a: int, b: int) -> None:
    """It is waited for if it has not ended, and is not called again."""
    lab.worker("a").plays(fails("INTERNAL", after=ms(a)))
    lab.worker("b").plays(ends("B", after=ms(b), confidence=0.7))
    r = await lab.dispatch("p")
    row = r.report["a"]
    assert (r.value, r.elapsed) == ({"a": "B", "b": "B"}, ms(max(a, b)))
    assert (fate(row)[:2], row.confidence, row.endpoint) == ((S.FELL_BACK, R.WORKER_ERROR), 0.7, "")
    assert (len(lab.worker("b").calls), noted(row)) == (1, [("fallback", "INTERNAL → branch b")])
    lab.assert_nothing_left()


@pytest.mark.fanmesh(STANDING)
async def test_a_branch_that_failed_itself_stands_in_for_nobody(lab: Lab) -> None:
    """Both have failed, each with its own reason."""
    lab.worker("a").plays(fails("INTERNAL"))
    lab.worker("b").plays(fails("NOT_FOUND", after=ms(5)))
    r = await lab.dispatch("p")
    assert (r.report["a"].code, r.report["b"].code) == (Code.INTERNAL, Code.NOT_FOUND)
    assert noted(r.report["a"]) == [("fallback", "INTERNAL → branch b"), ("fallback_failed", "FAILED_PRECONDITION")]
    lab.assert_nothing_left()


@pytest.mark.fanmesh(conf({"fallback": {"branch": "b"}}, branches={"b": {"if_missing": {"use": "default"}}}))
async def test_a_default_is_no_answer_that_could_stand_in(lab: Lab) -> None:
    """B is DEFAULTED; a is not: what is missing twice must not look like one answer and one default."""
    lab.worker("a").plays(fails("INTERNAL"))
    lab.worker("b").plays(fails("NOT_FOUND"))
    r = await lab.dispatch("p")
    assert [r.report[one].state for one in "ab"] == [S.FAILED, S.DEFAULTED]


@pytest.mark.fanmesh(conf({"fallback": {"branch": "b"}}, branches={"b": {}}))
async def test_waiting_for_another_branch_ends_at_stop(lab: Lab) -> None:
    """One deadline over all of it."""
    lab.worker("a").plays(fails("INTERNAL"))
    lab.worker("b").plays(hangs())
    r = await lab.dispatch("p")
    assert [fate(r.report[one])[:2] for one in "ab"] == [(S.TIMED_OUT, R.REQUEST_DEADLINE)] * 2
    await lab.settle()
    lab.assert_nothing_left()


@pytest.mark.fanmesh(
    conf({"fallback": {"branch": "b", "output": {"again": "${output.n}"}, "fallback": USE}}, branches={"b": {"if": "input.go"}})
)
@pytest.mark.parametrize("go", [True, False])
async def test_the_stand_in_may_be_mapped_and_may_not_run(lab: Lab, *, go: bool) -> None:
    """A branch whose `if` is false has no answer: the next fallback is asked."""
    lab.worker("a").plays(fails("INTERNAL"))
    lab.worker("b").plays(ends({"n": 9}))
    r = await lab.dispatch("p", {"go": go})
    assert r.value == ({"a": {"again": 9}, "b": {"n": 9}} if go else {"a": {"n": 0}})


@pytest.mark.fanmesh(conf({"fallback": {"branch": "b"}}, branches={"b": {}}, streaming=("b",)))
async def test_a_streamed_answer_stands_in_as_a_whole(lab: Lab) -> None:
    """Put together from its parts."""
    lab.worker("a").plays(fails("INTERNAL"))
    lab.worker("b").plays(streams([["x"], ["y"]], every=ms(5)))
    r = await lab.dispatch("p")
    assert r.value == {"a": ["x", "y"], "b": ["x", "y"]}


@pytest.mark.fanmesh(conf({"fallback": B}, branches={"x": {"input": "${branches.a.output}"}}))
async def test_a_fallbacks_answer_feeds_on(lab: Lab) -> None:
    """To those that read the branch it is an answer like any other, and they start when it is there."""
    lab.worker("a").plays(fails("INTERNAL", after=ms(5)))
    lab.worker("b").plays(ends({"n": 3}, after=ms(5)))
    lab.worker("x").plays(ends("done"))
    r = await lab.dispatch("p")
    assert (lab.worker("x").calls, r.report["x"].started_after) == ([{"n": 3}], ms(10))


# ---------------------------------------------------------------------- writes


WRITES = {"a": {"effect": "write"}, "b": {"effect": "write"}}
UNSENT = gives(Fault(FaultKind.WORKER_ERROR, Code.UNAVAILABLE, sent=False))


@pytest.mark.fanmesh(conf({"fallback": B, "timeout": "100ms"}, workers=WRITES))
@pytest.mark.parametrize("script", [fails("UNAVAILABLE"), fails("INTERNAL"), hangs(), rubbish(), oversize()], ids=repr)
async def test_a_write_that_was_sent_has_no_fallback(lab: Lab, script: Script) -> None:
    """It may have been done, and b would do it again."""
    lab.worker("a").plays(script)
    r = await lab.dispatch("p")
    assert (lab.worker("b").calls, noted(r.report["a"])) == ([], [("fallback_denied", "write_sent")])
    assert r.report["a"].state in (S.FAILED, S.TIMED_OUT)
    lab.assert_nothing_left()


@pytest.mark.fanmesh(conf({"fallback": DEEP}, workers={**WRITES, "c": {"effect": "write"}}))
async def test_a_write_that_was_never_sent_has_one_and_no_second_once_that_was(lab: Lab) -> None:
    """B may have done it: c is not asked."""
    lab.worker("a").plays(UNSENT)
    lab.worker("b").plays(fails("INTERNAL"))
    r = await lab.dispatch("p")
    assert ([len(lab.worker(one).calls) for one in "abc"], noted(r.report["a"])[-1]) == (
        [1, 1, 0], ("fallback_denied", "write_sent"),
    )  # fmt: skip
    assert r.code is Code.ABORTED  # a write may have been done


@pytest.mark.fanmesh(
    conf({"fallback": B}, workers={name: {"effect": "write", "idempotent": True} for name in "ab"}, branches={"r": {}})
)
async def test_idempotent_writes_have_fallbacks_like_reads(lab: Lab) -> None:
    """Both workers say that twice is as good as once."""
    lab.worker("a").plays(fails("INTERNAL"))
    lab.worker("b").plays(ends(2))
    lab.worker("r").plays(ends(1))
    r = await lab.dispatch("p")
    assert r.value == {"a": 2, "r": 1}


@pytest.mark.fanmesh(conf({"fallback": B}, workers=WRITES, branches={"r": {}}, complete={"until": "first"}))
async def test_a_write_that_was_left_behind_asks_nobody_else(lab: Lab) -> None:
    """The request is over when it fails: nothing more is spent."""
    lab.worker("r").plays(ends(1, after=ms(10)))
    lab.worker("a").plays(gives(Fault(FaultKind.WORKER_ERROR, Code.UNAVAILABLE, sent=False), after=ms(50)))
    await lab.dispatch("p")
    await asyncio.sleep(0.1)
    assert lab.worker("b").calls == []
    lab.assert_nothing_left()


# ---------------------------------------------------------------------- streams


@pytest.mark.fanmesh(conf({"fallback": B}, streaming=("a", "b"), accept=NO_FLOOR))
async def test_after_a_part_is_out_there_is_no_fallback(lab: Lab) -> None:
    """The caller may have seen it: a's parts are kept, and b's would be another answer in their place."""
    lab.worker("a").plays(streams([["x"]], every=ms(5), then=fails("UNAVAILABLE")))
    r = await lab.dispatch("p")
    row = r.report["a"]
    assert (fate(row)[:2], r.value, lab.worker("b").calls) == ((S.FAILED, R.STREAM_BROKEN), {"a": ["x"]}, [])
    assert noted(row) == [("fallback_denied", "committed")]


@pytest.mark.fanmesh(conf({"fallback": B, "on_stream_failure": "discard"}, streaming=("a", "b")))
async def test_parts_that_were_held_back_are_replaced_whole(lab: Lab) -> None:
    """With `discard` nothing of a is out: b's parts alone are the answer."""
    lab.worker("a").plays(streams([["x"]], every=ms(5), then=fails("UNAVAILABLE")))
    lab.worker("b").plays(streams([["y"], ["z"]], every=ms(5)))
    r = await lab.dispatch("p")
    assert (fate(r.report["a"]), r.value) == ((S.FELL_BACK, R.STREAM_BROKEN, "b"), {"a": ["y", "z"]})
    lab.assert_nothing_left()


@pytest.mark.fanmesh(conf({"fallback": B}, streaming=("b",)))
async def test_a_streaming_fallback_of_a_unary_worker(lab: Lab) -> None:
    """Its parts are the branch's parts; the attempt's number tells them apart."""
    lab.worker("a").plays(fails("INTERNAL"))
    lab.worker("b").plays(streams([["y"], ["z"]], every=ms(5)))
    r = await lab.dispatch("p")
    assert (fate(r.report["a"]), r.value) == ((S.FELL_BACK, R.WORKER_ERROR, "b"), {"a": ["y", "z"]})


@pytest.mark.fanmesh(conf({"fallback": DEEP}, streaming=("b",), accept=NO_FLOOR))
async def test_a_fallbacks_broken_stream_is_kept_like_a_workers(lab: Lab) -> None:
    """Its parts are in the result: they stay, the branch is STREAM_BROKEN, and nobody else is asked."""
    lab.worker("a").plays(fails("INTERNAL"))
    lab.worker("b").plays(streams([["y"]], every=ms(5), then=fails("UNAVAILABLE")))
    r = await lab.dispatch("p")
    assert (fate(r.report["a"]), r.value) == ((S.FAILED, R.STREAM_BROKEN, "b"), {"a": ["y"]})
    assert (r.report.degraded.partial_branch, lab.worker("c").calls) == (True, [])


@pytest.mark.fanmesh(conf({"fallback": B}, streaming=("a",)))
async def test_a_unary_fallback_of_a_streaming_worker(lab: Lab) -> None:
    """A stream that fails before its first part is a failure like any other."""
    lab.worker("a").plays(fails("UNAVAILABLE"))
    lab.worker("b").plays(ends(["whole"]))
    r = await lab.dispatch("p")
    assert (fate(r.report["a"]), r.value) == ((S.FELL_BACK, R.WORKER_ERROR, "b"), {"a": ["whole"]})


# ---------------------------------------------------------------------- the request's own end


@pytest.mark.fanmesh(conf({"fallback": B, "soft_timeout": "50ms"}, branches={"x": {}}))
async def test_a_soft_timeout_leaves_the_fallback_behind_too(lab: Lab) -> None:
    """It counts from the branch's first send, whoever is asked by then; b is cancelled."""
    lab.worker("a").plays(fails("INTERNAL", after=ms(20)))
    b = lab.worker("b").plays(hangs())
    lab.worker("x").plays(ends(1, after=ms(60)))
    r = await lab.dispatch("p")
    assert (fate(r.report["a"])[:2], r.elapsed) == ((S.CANCELLED, R.SOFT_TIMEOUT), ms(60))
    await lab.settle()
    assert b.cancelled == 1
    lab.assert_nothing_left()


@pytest.mark.fanmesh(conf({"fallback": DEEP}))
async def test_a_caller_that_goes_ends_whoever_is_asked(lab: Lab) -> None:
    """Nothing more is spent: c is not asked."""
    lab.worker("a").plays(fails("INTERNAL", after=ms(10)))
    b = lab.worker("b").plays(hangs())
    running = asyncio.ensure_future(lab.dispatch("p"))
    await asyncio.sleep(0.05)
    running.cancel()
    await asyncio.wait([running])
    await lab.settle()
    assert (b.cancelled, lab.worker("c").calls) == (1, [])
    lab.assert_nothing_left()


@pytest.mark.fanmesh(conf({"fallback": B, "sla": "100ms"}))
@pytest.mark.parametrize(("after", "met"), [(60, True), (160, False)])
async def test_the_sla_is_the_branchs_whoever_answers(lab: Lab, after: int, *, met: bool) -> None:
    """From its first send to the fallback's answer."""
    lab.worker("a").plays(fails("INTERNAL", after=ms(30)))
    lab.worker("b").plays(ends(1, after=ms(after)))
    r = await lab.dispatch("p")
    assert r.report["a"].sla_met is met

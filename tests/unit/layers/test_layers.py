"""Each layer alone, over a leaf that does what the test says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

import pytest

from dispatcher.flow.sink import NoSink
from dispatcher.layers.attempts import attempts
from dispatcher.layers.observe import observe
from dispatcher.layers.pick import choose
from dispatcher.layers.race import Track
from dispatcher.layers.shape import shape
from dispatcher.layers.types import Attempt, AttemptCall, BranchRun, Sink
from dispatcher.model.deadlines import MIN_ATTEMPT
from dispatcher.model.plan import Node, Plan, Worker
from dispatcher.model.policy import NO_LIMIT, NONE, BreakerRule, LimitRule, Policy
from dispatcher.model.reading import Mapping, Unreadable
from dispatcher.policies.books import Books
from dispatcher.policies.breaker import State
from dispatcher.policies.overload import Stage
from dispatcher.wire.observers import Nobody
from fanmesh.model.fault import Code, Fault, FaultKind
from fanmesh.model.outcome import Outcome, Part, Success
from fanmesh.model.states import AttemptKind, BranchReason, BranchState
from fanmesh.testing import run_virtual
from tests.kit.story import attempt_of, request_of

R, S = BranchReason, BranchState
NO = NoSink()


def run_of(
    *,
    output: Mapping | None = None,
    accepts: Any = None,
    deadline: int = 10**9,
    policy: Policy = NONE,
    limit: LimitRule = NO_LIMIT,
) -> BranchRun:
    """A run of a plan with one branch."""
    node = Node("a", Worker("w", "dns:///w:1", policy=policy, limit=limit), output=output)
    plan = Plan("p", (node,), accepts=accepts or (lambda _branch, _value: None))

    def sent(run: BranchRun, at: int) -> None:
        run.started_at = at

    return BranchRun(request_of(), plan, node, 0, deadline, sent)


def ran(call: Awaitable[Outcome]) -> Outcome:
    """What comes of a call, on virtual time."""

    async def main() -> Outcome:
        return await call

    return run_virtual(main())


def leaf(outcome: Outcome) -> Any:
    """A call that ends so."""

    async def call(_one: object, _sink: Sink) -> Outcome:
        return outcome

    return call


@dataclass(frozen=True)
class Place:
    """An endpoint."""

    address: str
    spare: bool = False

    def ready(self) -> bool:
        """Whether it is connected."""
        return True


A, B = Place("a"), Place("b")


def chooses(places: list[Place], books: Books, call: Any) -> AttemptCall:
    """The layer over `call`; every random number is 0."""
    return choose(lambda _: places, books, now=lambda: 7, uniform=lambda: 0.0)(call)


def new_attempt(run: BranchRun, kind: AttemptKind = AttemptKind.FIRST) -> Attempt:
    """One that has not left."""
    return Attempt(run, len(run.attempts), kind, 0, lambda one, _now: run.attempts.append(one))


def test_choose_takes_turns_by_worker() -> None:
    """The turn belongs to the worker, so that branches sharing one share its turns."""
    picked: list[str] = []

    async def call(attempt: Attempt, _sink: Sink) -> Outcome:
        picked.append(attempt.endpoint.address)
        return Success(1)

    layer = chooses([A, B], Books(), call)
    for _ in range(3):
        ran(layer(new_attempt(run_of()), NO))
    assert picked == ["a", "b", "a"]


def test_without_a_policy_and_a_choice_no_book_is_opened() -> None:
    """One endpoint, nothing to learn: the attempt leaves, and the books are not touched."""
    books, run = Books(), run_of()
    attempt = new_attempt(run)
    assert ran(chooses([A], books, leaf(Success(1)))(attempt, NO)) == Success(1)
    assert (attempt.endpoint, run.attempts, books.workers) == (A, [attempt], {})


def test_without_an_address() -> None:
    """Nobody to call: a fault that was never sent, and may be tried again."""
    run = run_of()
    fault = ran(chooses([], Books(), leaf(Success(1)))(new_attempt(run), NO))
    assert isinstance(fault, Fault)
    assert (fault.code, fault.sent, fault.retryable, run.attempts) == (Code.UNAVAILABLE, False, True, [])


BREAKER = Policy("b", breaker=BreakerRule(consecutive=1, rate_over=None))


@pytest.mark.parametrize(
    ("kind", "noted"),
    [(AttemptKind.FIRST, ("refused", "overloaded")), (AttemptKind.HEDGE, ("hedge_denied", "no_other_endpoint"))],
)
def test_a_refusal_is_told(kind: AttemptKind, noted: tuple[str, str]) -> None:
    """The attempt has not left; the branch's notes and the worker's counters say why."""
    books, run = Books(), run_of(policy=BREAKER, limit=LimitRule(endpoint_in_flight=1))
    books.of("w").endpoint("a").in_flight.count = 1
    fault = ran(chooses([A], books, leaf(Success(1)))(new_attempt(run, kind), NO))
    assert isinstance(fault, Fault)
    assert [(note.what, note.why, note.at) for note in run.notes] == [(*noted, 7)]
    assert (run.attempts, books.of("w").counts) == ([], {noted: 1})


@pytest.mark.parametrize("ends", [Success(1), Fault.unavailable(), ZeroDivisionError("x"), asyncio.CancelledError()])
def test_permits_come_back_however_it_ends(ends: Any) -> None:
    """An answer, a fault, a defect, a worker that cancels itself: each is an outcome, and its permit is given back."""
    books = Books()

    async def call(_attempt: Attempt, _sink: Sink) -> Outcome:
        if isinstance(ends, BaseException) and not isinstance(ends, Fault):
            raise ends
        outcome: Outcome = ends
        return outcome

    async def main() -> Outcome:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
        return await chooses([A, B], books, call)(new_attempt(run_of(policy=BREAKER)), NO)

    outcome = run_virtual(main())
    assert isinstance(outcome, Success if ends == Success(1) else Fault)
    assert [one.in_flight.count for one in books.of("w").endpoints.values()] == [0, 0]
    if isinstance(ends, asyncio.CancelledError):
        assert isinstance(outcome, Fault)
        assert (outcome.kind, outcome.code) == (FaultKind.WORKER_ERROR, Code.CANCELLED)


def test_our_own_cancellation_goes_through() -> None:
    """It is no outcome; the permit is given back, and the breaker is not told."""
    books = Books()

    async def hang(_attempt: Attempt, _sink: Sink) -> Outcome:
        await asyncio.get_running_loop().create_future()
        raise AssertionError("nobody sets it")

    async def main() -> None:
        task = asyncio.ensure_future(chooses([A, B], books, hang)(new_attempt(run_of(policy=BREAKER)), NO))
        await asyncio.sleep(0)
        assert books.of("w").endpoint("a").in_flight.count == 1
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    run_virtual(main())
    assert (books.of("w").endpoint("a").in_flight.count, books.of("w").endpoint("a").breaker.state) == (0, State.CLOSED)


def test_a_probe_is_marked() -> None:
    """The first attempt becomes a PROBE, and the changes of the breaker are noted."""
    books, run = Books(), run_of(policy=BREAKER, deadline=10**12)
    breaker = books.of("w").endpoint("a").breaker
    breaker.state, breaker.retry_at = State.OPEN, 5
    attempt = new_attempt(run)
    assert isinstance(ran(chooses([A, B], books, leaf(Fault.unavailable()))(attempt, NO)), Fault)
    assert attempt.kind is AttemptKind.PROBE
    assert [(note.what, note.why, note.endpoint) for note in run.notes] == [
        ("probe", "due", "a"),
        ("breaker_open", "probe_failed", "a"),
    ]


@pytest.mark.parametrize(("places", "expected"), [([A], False), ([A, B], True)])
def test_whether_there_is_somebody_else(places: list[Place], expected: bool) -> None:  # noqa: FBT001  (a table)
    """An attempt knows whether an endpoint is left that has not been tried: no hedge needs a timer without one."""
    attempt = new_attempt(run_of(policy=BREAKER))
    ran(chooses(places, Books(), leaf(Success(1)))(attempt, NO))
    assert attempt.elsewhere is expected


def track(call: Any, now: int) -> Track:
    """What attempts share, over an attempt call that sends by itself."""

    async def sends(attempt: Attempt, sink: Sink) -> Outcome:
        attempt.endpoint = A
        attempt.leave(attempt, now)
        outcome: Outcome = await call(attempt, sink)
        return outcome

    return Track(sends, Books(), lambda: now, lambda: 0.0, Nobody(), lambda: Stage.CALM)


@pytest.mark.parametrize(("left", "made"), [(MIN_ATTEMPT, True), (MIN_ATTEMPT - 1, False), (-1, False)])
def test_attempts_need_five_milliseconds(left: int, made: bool) -> None:  # noqa: FBT001  (a table)
    """An attempt is made if at least 5 ms are left; else NO_TIME, and nothing counts as sent."""
    run = run_of(deadline=1000 + left)
    outcome = run_virtual(attempts(track(leaf(Success(1)), 1000))(run, NO))
    assert (len(run.attempts), run.started_at) == ((1, 1000) if made else (0, None))
    assert isinstance(outcome, Success) or outcome.kind is FaultKind.NO_TIME


def test_an_attempt_that_is_cancelled_says_so() -> None:
    """Cancelled from outside: the attempt has an end, no outcome, and `cancelled` is set."""
    run = run_of()

    async def hang(_attempt: Attempt, _sink: Sink) -> Outcome:
        await asyncio.get_running_loop().create_future()
        raise AssertionError("nobody sets it")

    async def main() -> None:
        task = asyncio.ensure_future(attempts(track(hang, 7))(run, NO))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    run_virtual(main())
    (attempt,) = run.attempts
    assert (attempt.cancelled, attempt.ended_at, attempt.outcome) == (True, 7, None)


def test_observe_says_what_the_outcome_means() -> None:
    """The outermost layer notes state and reason of the outcome before the observer is told."""
    run = run_of()
    run_virtual(observe(Nobody())(leaf(Fault.not_found("x")))(run, NO))
    assert (run.state, run.reason) == (S.FAILED, R.WORKER_ERROR)


def test_observe_leaves_the_last_word_to_flow() -> None:
    """What flow has ended stays as flow ended it."""
    run = run_of()
    run.state, run.reason = S.TIMED_OUT, R.HARD_TIMEOUT
    run_virtual(observe(Nobody())(leaf(Success(1)))(run, NO))
    assert (run.state, run.reason) == (S.TIMED_OUT, R.HARD_TIMEOUT)


def test_observe_leaves_what_stands_in_as_it_is() -> None:
    """The branch was ended with an older answer; its call has come to an end in the same step, and is not what was told."""
    run = run_of()
    older = Success(1, instead=Fault.unavailable())
    run.state, run.reason, run.outcome = S.FELL_BACK, R.HARD_TIMEOUT, older
    run_virtual(observe(Nobody())(leaf(Success(2)))(run, NO))
    assert (run.state, run.reason, run.outcome) == (S.FELL_BACK, R.HARD_TIMEOUT, older)


def twice(reading: Any) -> Any:
    """Maps a number to its double."""
    return reading.output * 2 if isinstance(reading.output, int) else Unreadable("no number")


def refuses(branch: str, value: object) -> str | None:
    """A merge that takes small numbers."""
    return f"{branch}: {value} is too large" if isinstance(value, int) and value > 10 else None


@pytest.mark.parametrize(
    ("outcome", "output", "ends"),
    [
        (Success(3), None, Success(3)),
        (Success(3), twice, Success(6)),
        (Success(30), None, "a: 30 is too large"),
        (Success(8), twice, "a: 16 is too large"),
        (Success("x"), twice, "output: no number"),
        (Success(None, streamed=True), twice, Success(None, streamed=True)),
        (Fault.not_found("ip"), twice, Fault.not_found("ip")),
    ],
)
def test_shape(outcome: Outcome, output: Mapping | None, ends: Outcome | str) -> None:
    """An answer is mapped, then the merge is asked; one that cannot be used is a fault. Streams are whole elsewhere."""
    found = ran(shape(leaf(outcome))(attempt_of(run_of(output=output, accepts=refuses), 0), NO))
    if isinstance(ends, str):
        assert isinstance(found, Fault)
        assert (found.kind, found.detail) == (FaultKind.INVALID_RESPONSE, ends)
    else:
        assert found == ends


def test_a_unary_branch_has_no_parts() -> None:
    """A part from a unary worker is a defect of the leaf, and not passed over."""
    with pytest.raises(AssertionError, match="which does not stream"):
        NO.part(Part(1, False, 0), attempt_of(run_of(), 0))

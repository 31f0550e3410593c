"""Each layer alone, over a leaf that does what the test says."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from dispatcher.flow.sink import NoSink
from dispatcher.layers.attempts import attempts
from dispatcher.layers.observe import observe
from dispatcher.layers.pick import pick, round_robin
from dispatcher.layers.shape import shape
from dispatcher.layers.types import Attempt, BranchRun, Sink
from dispatcher.model.deadlines import MIN_ATTEMPT
from dispatcher.model.plan import Node, Plan, Worker
from dispatcher.model.reading import Mapping, Unreadable
from dispatcher.wire.observers import Nobody
from fanmesh.model.fault import Code, Fault, FaultKind
from fanmesh.model.outcome import Outcome, Part, Success
from fanmesh.model.states import BranchReason, BranchState
from fanmesh.testing import run_virtual
from tests.kit.story import attempt_of, request_of

R, S = BranchReason, BranchState
NO = NoSink()


def run_of(*, output: Mapping | None = None, accepts: Any = None, deadline: int = 10**9) -> BranchRun:
    """A run of a plan with one branch."""
    node = Node("a", Worker("w", "dns:///w:1"), output=output)
    plan = Plan("p", (node,), accepts=accepts or (lambda _branch, _value: None))

    def sent(run: BranchRun, at: int) -> None:
        run.started_at = at

    return BranchRun(request_of(), plan, node, 0, deadline, sent)


def leaf(outcome: Outcome) -> Any:
    """A call that ends so."""

    async def call(_one: object, _sink: Sink) -> Outcome:
        return outcome

    return call


@dataclass(frozen=True)
class Place:
    """An endpoint."""

    address: str
    up: bool = True

    def ready(self) -> bool:
        """Whether it is connected."""
        return self.up


A, B, DOWN = Place("a"), Place("b"), Place("down", up=False)


@pytest.mark.parametrize(
    ("places", "turn", "chosen"),
    [
        ([], 0, None),
        ([DOWN], 3, DOWN),
        ([A, B], 0, A),
        ([A, B], 1, B),
        ([A, B], 2, A),
        ([DOWN, A, B], 0, A),
        ([A, DOWN, B], 1, B),
        ([DOWN, Place("too", up=False)], 1, Place("too", up=False)),
    ],
)
def test_round_robin(places: list[Place], turn: int, chosen: Place | None) -> None:
    """The first ready endpoint from one's turn on; if none is ready the one whose turn it is; None of none."""
    assert round_robin(places, turn) == chosen


def test_pick_takes_turns_by_worker() -> None:
    """The turn belongs to the worker, so that branches sharing one share its turns."""
    picked: list[str] = []

    async def call(attempt: Attempt, _sink: Sink) -> Outcome:
        picked.append(attempt.endpoint.address)
        return Success(1)

    layer = pick(lambda _: [A, B])(call)
    for _ in range(3):
        run_virtual(layer(attempt_of(run_of(), 0), NO))
    assert picked == ["a", "b", "a"]


def test_pick_without_an_address() -> None:
    """Nobody to call: a fault that was never sent, and may be tried again."""
    fault = run_virtual(pick(lambda _: [])(leaf(Success(1)))(attempt_of(run_of(), 0), NO))
    assert isinstance(fault, Fault)
    assert (fault.code, fault.sent, fault.retryable) == (Code.UNAVAILABLE, False, True)


@pytest.mark.parametrize(("left", "made"), [(MIN_ATTEMPT, True), (MIN_ATTEMPT - 1, False), (-1, False)])
def test_attempts_need_five_milliseconds(left: int, made: bool) -> None:  # noqa: FBT001  (a table)
    """An attempt is made if at least 5 ms are left; else NO_TIME, and nothing counts as sent."""
    run = run_of(deadline=1000 + left)
    outcome = run_virtual(attempts(leaf(Success(1)), now=lambda: 1000, observer=Nobody())(run, NO))
    assert (len(run.attempts), run.started_at) == ((1, 1000) if made else (0, None))
    assert isinstance(outcome, Success) or outcome.kind is FaultKind.NO_TIME


def test_an_attempt_that_is_cancelled_says_so() -> None:
    """Cancelled from outside: the attempt has an end, no outcome, and `cancelled` is set."""
    run = run_of()

    async def hang(_attempt: Attempt, _sink: Sink) -> Outcome:
        await asyncio.get_running_loop().create_future()
        raise AssertionError("nobody sets it")

    async def main() -> None:
        task = asyncio.ensure_future(attempts(hang, now=lambda: 7, observer=Nobody())(run, NO))
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
    found = run_virtual(shape(leaf(outcome))(attempt_of(run_of(output=output, accepts=refuses), 0), NO))
    if isinstance(ends, str):
        assert isinstance(found, Fault)
        assert (found.kind, found.detail) == (FaultKind.INVALID_RESPONSE, ends)
    else:
        assert found == ends


def test_a_unary_branch_has_no_parts() -> None:
    """A part from a unary worker is a defect of the leaf, and not passed over."""
    with pytest.raises(AssertionError, match="which does not stream"):
        NO.part(Part(1, False, 0), attempt_of(run_of(), 0))

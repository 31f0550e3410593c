"""The shell of a race by itself: whose task is interrupted, what is left of its cancellations, and whose parts count."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from dispatcher.layers.attempts import attempts
from dispatcher.layers.race import Track
from dispatcher.layers.types import Attempt, BranchRun, Gate, Sink
from dispatcher.model.plan import Effect, Node, Plan, Worker
from dispatcher.model.policy import Hedge, Policy, Retry
from dispatcher.policies.books import Books
from dispatcher.policies.overload import Stage
from dispatcher.wire.observers import Nobody
from fanmesh.model.fault import Code, Fault, FaultKind
from fanmesh.model.outcome import Outcome, Part, Success
from fanmesh.model.states import AttemptKind
from fanmesh.testing import VirtualClock, ms, run_virtual
from fanmesh.testing.scripts import virtual_sleep
from tests.kit.story import Address, request_of

POLICY = Policy("p", Retry(), Hedge(delay=ms(20), max_extra_load=1.0))
STREAMED = Success(None, streamed=True)
Act = Callable[[Attempt, Sink], Awaitable[Outcome]]


class Parts:
    """Takes the parts that it is said to take."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.taken: list[tuple[int, Any]] = []

    def part(self, part: Part, attempt: Attempt) -> Any:
        """Take one."""
        answer = self.answers.pop(0) if self.answers else Gate.GO
        if answer is Gate.GO:
            self.taken.append((attempt.number, part.value))
        return answer

    def completed(self, outcome: Outcome) -> Outcome:
        """Nothing is added."""
        return outcome


class Bench:
    """A branch whose attempts do what they are told, each by its number."""

    def __init__(self, *acts: Act, policy: Policy = POLICY, effect: Effect = Effect.READ, streams: bool = False) -> None:
        self.acts = acts
        self.books = Books()
        self.made: list[Attempt] = []
        self.ended: list[int] = []
        self.sink = Parts()
        node = Node("a", Worker("w", effect=effect, policy=policy, streams=streams))
        loop = asyncio.get_running_loop()
        self.clock = VirtualClock(loop)  # type: ignore[arg-type]  # run_virtual's
        self.run = BranchRun(request_of(), Plan("p", (node,)), node, 0, ms(1000), lambda *_: None, self._alarm)
        self.track = Track(self._call, self.books, self.clock.now, lambda: 0.5, Nobody(), lambda: Stage.CALM)
        self.cancelling = -1

    def _alarm(self, run: BranchRun, at: int) -> None:
        run.wake_at = at

        def due() -> None:
            if run.wake_at == at and run.woken is not None:
                run.wake_at = -1
                run.woken()

        self.clock.call_at(at, due)

    async def _call(self, attempt: Attempt, sink: Sink) -> Outcome:
        attempt.endpoint = Address(f"e{attempt.number}")
        attempt.elsewhere = True
        self.made.append(attempt)
        attempt.leave(attempt, self.clock.now())
        try:
            return await self.acts[min(attempt.number, len(self.acts) - 1)](attempt, sink)
        finally:
            self.ended.append(attempt.number)

    async def branch(self) -> Outcome:
        """Run it; how often its task is still cancelled when it has ended is written down."""
        try:
            return await attempts(self.track)(self.run, self.sink)
        finally:
            task = asyncio.current_task()
            assert task is not None
            self.cancelling = task.cancelling()


def answers(value: Any, after: int) -> Act:
    """A good answer after so many ms."""

    async def act(_attempt: Attempt, _sink: Sink) -> Outcome:
        await virtual_sleep(ms(after))
        return Success(value)

    return act


async def hangs(_attempt: Attempt, _sink: Sink) -> Outcome:
    """For ever."""
    await asyncio.get_running_loop().create_future()
    raise AssertionError("nobody sets it")


def lingers(outcome: Outcome) -> Act:
    """Swallows its cancellation for 10 ms and then ends so."""

    async def act(attempt: Attempt, sink: Sink) -> Outcome:
        try:
            return await hangs(attempt, sink)
        except asyncio.CancelledError:
            await virtual_sleep(ms(10))
            return outcome

    return act


def says(*values: Any, after: int, replace: bool = False, ends: Outcome = STREAMED) -> Act:
    """Parts, the first after so many ms and each other 5 ms later, as long as they are wanted; then this end."""

    async def act(attempt: Attempt, sink: Sink) -> Outcome:
        for seq, value in enumerate(values):
            await virtual_sleep(ms(5 if seq else after))
            answer = sink.part(Part(value, replace, seq), attempt)
            if answer is Gate.STOP:
                return Fault(FaultKind.CANCELLED, Code.CANCELLED)
            if isinstance(answer, Fault):
                return answer
        return ends

    return act


@pytest.mark.parametrize(
    "loser", [hangs, lingers(Success("late")), lingers(Fault.unavailable()), lingers(Fault.not_found("x"))]
)
def test_the_branch_s_task_is_interrupted_and_not_cancelled(loser: Act) -> None:
    """The hedge wins while the first flies in the branch's task: nothing of the interruption is left, however it ends."""

    async def main() -> None:
        track = Bench(loser, answers("hedge", 5))
        assert await track.branch() == Success("hedge")
        assert (track.cancelling, track.ended[-2:].count(0)) == (0, 1)
        assert track.run.deciding is track.made[1]
        await virtual_sleep(ms(1))  # a cancellation that was left over would come out here

    run_virtual(main())


@pytest.mark.parametrize("order", ["win first", "cancel first"])
def test_a_cancellation_in_the_instant_of_a_win(order: str) -> None:
    """The branch was cancelled: that is what it ends with, whichever of the two came first."""

    async def main() -> None:
        done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        async def told(_attempt: Attempt, _sink: Sink) -> Outcome:
            return await done

        track = Bench(hangs, told)
        task = asyncio.ensure_future(track.branch())
        await virtual_sleep(ms(30))
        if order == "win first":
            done.set_result(Success(1))
            for _ in range(2):
                await asyncio.sleep(0)  # the hedge's task ends; then the branch's is interrupted, and has not run yet
            assert task.cancelling() == 1
            task.cancel()
        else:
            task.cancel()
            done.set_result(Success(1))
        await asyncio.wait([task])
        assert task.cancelled()
        assert sorted(track.ended) == [0, 1]

    run_virtual(main())


def test_both_are_cancelled_and_awaited() -> None:
    """The branch is cancelled: it ends when both attempts have, also if one lingers and a second cancellation comes."""

    async def main() -> None:
        track = Bench(hangs, lingers(Success("late")))
        task = asyncio.ensure_future(track.branch())
        await virtual_sleep(ms(30))
        task.cancel()
        await virtual_sleep(ms(5))
        assert (task.done(), track.ended) == (False, [0])
        task.cancel()
        await virtual_sleep(ms(4))
        assert not task.done()
        await virtual_sleep(ms(2))
        assert (task.cancelled(), track.ended) == (True, [0, 1])

    run_virtual(main())


def test_nothing_is_launched_for_a_branch_that_flow_has_ended() -> None:
    """A side attempt fails after that, and a wake comes: nobody is called."""

    async def fails(_attempt: Attempt, _sink: Sink) -> Outcome:
        await virtual_sleep(ms(10))
        return Fault.unavailable()

    async def main() -> None:
        track = Bench(hangs, fails)
        task = asyncio.ensure_future(track.branch())
        await virtual_sleep(ms(25))
        track.run.ended_at = track.clock.now()
        await virtual_sleep(ms(50))
        assert len(track.made) == 2
        task.cancel()
        await asyncio.wait([task])

    run_virtual(main())


def test_a_write_is_never_hedged() -> None:
    """However slow, with a policy that hedges: there is one attempt."""

    async def main() -> None:
        track = Bench(answers(1, 500), effect=Effect.WRITE)
        assert await track.branch() == Success(1)
        assert [one.kind for one in track.made] == [AttemptKind.FIRST]

    run_virtual(main())


def test_a_retry_flies_in_the_branch_s_task_and_may_be_interrupted() -> None:
    """The first has failed, its retry is slow, and the retry's hedge wins: the interruption works a second time."""

    async def fails(_attempt: Attempt, _sink: Sink) -> Outcome:
        return Fault.unavailable()

    async def main() -> None:
        track = Bench(fails, hangs, answers("hedge", 5))
        assert await track.branch() == Success("hedge")
        assert [one.kind.name for one in track.made] == ["FIRST", "RETRY", "HEDGE"]
        assert track.cancelling == 0

    run_virtual(main())


# ---------------------------------------------------------------------- parts


def test_the_first_part_wins() -> None:
    """The loser is cancelled in that instant, and the branch ends with the winner."""

    async def main() -> None:
        track = Bench(hangs, says(1, 2, 3, after=5), streams=True)
        task = asyncio.ensure_future(track.branch())
        await virtual_sleep(ms(26))
        assert track.ended == [0]
        assert await task == Success(None, streamed=True)
        assert (track.sink.taken, track.cancelling) == ([(1, 1), (1, 2), (1, 3)], 0)
        assert [one.answered_at for one in track.made] == [None, ms(25)]

    run_virtual(main())


def test_a_part_that_cannot_be_used_does_not_win() -> None:
    """The sink refuses the hedge's first part: the first attempt is not cancelled for it, and answers."""

    async def main() -> None:
        track = Bench(says("good", after=50), says("bad", after=5), streams=True)
        track.sink.answers = [Fault(FaultKind.INVALID_RESPONSE, Code.INTERNAL)]
        assert await track.branch() == Success(None, streamed=True)
        assert track.sink.taken == [(0, "good")]

    run_virtual(main())


def test_a_part_that_nobody_wants_does_not_win() -> None:
    """The request is complete: the attempt is told to stop, and commits nothing."""

    async def main() -> None:
        track = Bench(says("late", after=5), streams=True)
        track.sink.answers = [Gate.STOP]
        outcome = await track.branch()
        assert isinstance(outcome, Fault)
        assert outcome.kind is FaultKind.CANCELLED
        assert track.made[0].answered_at is None

    run_virtual(main())


def test_a_loser_that_goes_on_is_stopped() -> None:
    """It has swallowed its cancellation and sends parts: none is taken, also when the winner has broken and is replaced."""

    async def goes_on(attempt: Attempt, sink: Sink) -> Outcome:
        try:
            return await hangs(attempt, sink)
        except asyncio.CancelledError:
            return await says(8, 9, after=20)(attempt, sink)

    async def main() -> None:
        broken = says(1, after=5, replace=True, ends=Fault(FaultKind.STREAM_BROKEN, Code.UNAVAILABLE))
        track = Bench(goes_on, broken, says(2, 3, after=1), streams=True)
        assert await track.branch() == Success(None, streamed=True)
        assert track.sink.taken == [(1, 1), (2, 2), (2, 3)]

    run_virtual(main())


def test_back_pressure_goes_through() -> None:
    """A future of the sink is the attempt's to await; the part counts."""

    async def main() -> None:
        room: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        seen: list[Any] = []

        async def act(attempt: Attempt, sink: Sink) -> Outcome:
            seen.append(sink.part(Part(1, replace=False, seq=0), attempt))
            return Success(None, streamed=True)

        track = Bench(act, streams=True)
        track.sink.answers = [room]
        await track.branch()
        assert seen == [room]
        assert track.made[0].answered_at == 0

    run_virtual(main())

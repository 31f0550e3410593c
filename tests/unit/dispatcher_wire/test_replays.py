"""Waiting for a run that others wait for, too; on virtual time."""

from __future__ import annotations

import asyncio

import pytest

from dispatcher.flow.reaper import TaskReaper
from dispatcher.flow.underway import Underway
from dispatcher.model.policy import IdempotencyRule
from dispatcher.model.request import Refusal, Request
from dispatcher.wire.answering import ended
from dispatcher.wire.outbound import Finished, refused
from dispatcher.wire.replays import Replays, Ticket
from fanmesh.model.fault import Code
from fanmesh.model.times import MS, SECOND
from fanmesh.payload import Box
from fanmesh.testing.loop import VirtualClock, VirtualLoop, run_virtual
from fanmesh.v1 import dispatcher_pb2


class Run:
    """A run that ends in what the test says; `replays` shares it under one key."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self.loop = loop
        self.reaper = TaskReaper()
        self.replays = Replays(IdempotencyRule, VirtualClock(loop), self.reaper)
        self.end: asyncio.Future[Finished] = loop.create_future()

    async def story(self, _: Underway) -> Finished:
        """The run."""
        return await self.end

    def claim(self) -> Ticket:
        """A share in it."""
        ticket = self.replays.claim("k", b"body", self.story)
        assert isinstance(ticket, Ticket)
        return ticket


def asked(remaining: int | None, arrived: int = 0) -> Request:
    """A request with so much time."""
    return Request("r", "p", Box.of(None), arrived, remaining=remaining)


DONE = Finished(dispatcher_pb2.DispatchResponse(), keep=True)


@pytest.mark.parametrize(("remaining", "waited"), [(SECOND, 990 * MS), (8 * MS, 6 * MS), (0, 0)])
def test_who_joined_hears_before_its_deadline_that_the_time_is_over(remaining: int, waited: int) -> None:
    """10 ms before, or a quarter of less: DEADLINE_EXCEEDED says why, and the run goes on for the one who began it."""

    async def story() -> None:
        run = Run()
        with run.claim():
            ticket = run.claim()
            with ticket:
                finished = await ended(ticket, asked(remaining), 0)
            assert run.loop.now == waited
            assert finished.refusal is not None
            assert (finished.refusal.code, finished.refusal.reason) == (Code.DEADLINE_EXCEEDED, "DEADLINE")
            assert not ticket.task.cancelling()
            run.end.set_result(DONE)
            await ticket.task

    run_virtual(story())


def test_who_began_it_and_who_has_no_deadline_wait_for_the_end() -> None:
    """The run has the deadline of the one who began it; to wait is enough."""

    async def story() -> list[Finished]:
        run = Run()
        run.loop.call_later(100.0, run.end.set_result, DONE)
        first, second = run.claim(), run.claim()
        with first, second:
            return await asyncio.gather(ended(first, asked(SECOND), 0), ended(second, asked(None), 0))

    assert run_virtual(story()) == [DONE, DONE]


def test_a_run_that_fails_by_mistake_frees_the_key() -> None:
    """Everybody who waits sees the exception, and the next one runs again."""

    async def story() -> None:
        run = Run()
        run.end.set_exception(KeyError("a defect"))
        first, second = run.claim(), run.claim()
        with first, second:
            for ticket in (first, second):
                with pytest.raises(KeyError):
                    await ended(ticket, asked(None), 0)
        assert (run.replays.running, run.replays.kept) == (0, 0)

    run_virtual(story())


def test_a_run_that_never_began_is_given_up_cleanly() -> None:
    """Cancelled before its first step it leaves neither key nor task, and nothing is awaited too late."""

    async def story() -> None:
        run = Run()
        with run.claim():
            assert run.replays.running == 1
        assert run.replays.running == 0
        assert await run.reaper.drain(1.0) == 0
        assert not run.end.done()

    run_virtual(story())


class Writing(Underway):
    """A run that has sent a write, and has to end by `end`."""

    end = 60 * SECOND

    def give_up(self) -> bool:
        """Never."""
        return False


def test_a_run_that_wrote_and_does_not_end_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second after it should have ended by itself; the key is free then, and nobody owns anything."""
    monkeypatch.setattr("dispatcher.wire.replays.Underway", Writing)

    async def story() -> None:
        run = Run()
        for _ in range(2):
            ticket = run.claim()
            with ticket:
                await asyncio.sleep(1.0)
            assert (run.replays.running, run.reaper.writing) == (1, 1)
        await asyncio.wait((ticket.task,))
        assert ticket.task.cancelled()
        assert run.loop.now == 61 * SECOND
        assert (run.replays.running, run.replays.kept, run.reaper.open) == (0, 0, 0)

    run_virtual(story())


def test_what_is_kept_is_told_and_what_is_not_is_not() -> None:
    """`keep` of the ending decides."""

    async def story() -> list[object]:
        found: list[object] = []
        for finished in (DONE, refused(Refusal(Code.UNAVAILABLE, "COMPLETION_UNREACHABLE", "no"))):
            run = Run()
            run.end.set_result(finished)
            ticket = run.claim()
            with ticket:
                await ended(ticket, asked(None), 0)
            again = run.replays.claim("k", b"body", run.story)
            found.append(type(again))
            if isinstance(again, Ticket):
                with again:
                    await again.task
        return found

    assert run_virtual(story()) == [Finished, Ticket]

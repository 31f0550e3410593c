"""The layer that waits for a worker's place: who is told what, in which step."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from dispatcher.flow.sink import NoSink
from dispatcher.layers.queue import queue
from dispatcher.layers.types import BranchCall, BranchRun, Sink
from dispatcher.model.plan import Node, Plan, Worker
from dispatcher.model.policy import LimitRule
from dispatcher.policies.books import Books
from fanmesh.model.fault import Code, Fault, FaultKind
from fanmesh.model.outcome import Outcome, Success
from fanmesh.testing import run_virtual
from tests.kit.story import request_of

NO = NoSink()
OK = Success(1)


class Bench:
    """A worker with this limit, whose calls end when the test says so."""

    def __init__(self, limit: LimitRule) -> None:
        self.limit = limit
        self.books = Books()
        self.now = 0
        self.calls: list[asyncio.Future[Outcome]] = []
        self.layer: BranchCall = queue(self.books, now=lambda: self.now)(self._call)

    async def _call(self, _run: BranchRun, _sink: Sink) -> Outcome:
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.calls.append(future)
        return await future

    def run(self, deadline: int = 100) -> BranchRun:
        """A branch."""
        node = Node("a", Worker("w", limit=self.limit))
        return BranchRun(request_of(), Plan("p", (node,)), node, 0, deadline, lambda *_: None)

    async def enters(self, deadline: int = 100) -> tuple[BranchRun, asyncio.Task[Outcome]]:
        """A branch comes, and gets as far as it gets."""
        run = self.run(deadline)
        task = asyncio.ensure_future(self.layer(run, NO))
        await asyncio.sleep(0)
        return run, task

    @property
    def state(self) -> tuple[int, int]:
        """Places that are out, branches that wait."""
        book = self.books.of("w").queue
        return book.running, len(book)


def test_without_a_limit_no_book_is_opened() -> None:
    """It costs nothing: the call is made, and there is no queue."""

    async def main() -> None:
        bench = Bench(LimitRule())
        _, task = await bench.enters()
        bench.calls[0].set_result(OK)
        assert await task == OK
        assert bench.books.workers == {}

    run_virtual(main())


def test_a_place_is_held_while_the_call_runs() -> None:
    """And the wait of the next one is measured."""

    async def main() -> None:
        bench = Bench(LimitRule(in_flight=1, queue=1))
        first, one = await bench.enters()
        second, two = await bench.enters()
        assert (bench.state, len(bench.calls)) == ((1, 1), 1)
        bench.now = 30
        bench.calls[0].set_result(OK)
        await one
        await asyncio.sleep(0)
        assert (bench.state, len(bench.calls), first.queued, second.queued) == ((1, 0), 2, 0, 30)
        bench.calls[1].set_result(OK)
        await two
        assert bench.state == (0, 0)

    run_virtual(main())


def test_full() -> None:
    """OVERLOADED, never sent, noted and counted, without waiting."""

    async def main() -> None:
        bench = Bench(LimitRule(in_flight=1, queue=0))
        _, one = await bench.enters()
        run, two = await bench.enters()
        fault = await two
        assert isinstance(fault, Fault)
        assert (fault.kind, fault.code, fault.sent) == (FaultKind.OVERLOADED, Code.RESOURCE_EXHAUSTED, False)
        assert [(note.what, note.why) for note in run.notes] == [("refused", "queue_full")]
        assert bench.books.of("w").counts == {("refused", "queue_full"): 1}
        one.cancel()
        await asyncio.wait([one])
        assert bench.state == (0, 0)

    run_virtual(main())


def test_an_evicted_waiter() -> None:
    """Somebody more urgent has taken its place in the queue: it is refused, and its wait is told."""

    async def main() -> None:
        bench = Bench(LimitRule(in_flight=1, queue=1))
        _, one = await bench.enters()
        late, two = await bench.enters(90)
        bench.now = 5
        _, three = await bench.enters(50)
        assert isinstance(await two, Fault)
        assert (late.queued, bench.state) == (5, (1, 1))
        bench.calls[0].set_result(OK)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        bench.calls[1].set_result(OK)
        await asyncio.wait([one, three])
        assert bench.state == (0, 0)

    run_virtual(main())


@pytest.mark.parametrize("ends", [lambda f: f.set_exception(ZeroDivisionError()), lambda f: f.cancel()])
def test_a_place_comes_back_however_the_call_ends(ends: Callable[[asyncio.Future[Outcome]], None]) -> None:
    """A defect, a cancellation: the next one runs."""

    async def main() -> None:
        bench = Bench(LimitRule(in_flight=1, queue=1))
        _, one = await bench.enters()
        _, two = await bench.enters()
        ends(bench.calls[0])
        await asyncio.wait([one])
        assert one.cancelled() or isinstance(one.exception(), ZeroDivisionError)
        await asyncio.sleep(0)
        bench.calls[1].set_result(OK)
        assert await two == OK
        assert bench.state == (0, 0)

    run_virtual(main())


@pytest.mark.parametrize("granted_first", [True, False])
def test_cancelled_in_the_step_of_its_turn(granted_first: bool) -> None:  # noqa: FBT001  (a table)
    """Its place is not lost: whoever is next has it."""

    async def main() -> None:
        bench = Bench(LimitRule(in_flight=1, queue=2))
        _, one = await bench.enters()
        _, two = await bench.enters(50)
        _, three = await bench.enters(60)
        if granted_first:
            ticket = bench.books.of("w").queue._critical[0][2]
            tell = ticket.payload
            ticket.payload = lambda: (tell(), two.cancel())  # it is told, has not run yet, and is cancelled
            bench.calls[0].set_result(OK)
        else:
            two.cancel()
            bench.calls[0].set_result(OK)
        await asyncio.wait([one, two])
        assert two.cancelled()
        await asyncio.sleep(0)
        assert (bench.state, len(bench.calls)) == ((1, 0), 2)
        bench.calls[1].set_result(OK)
        assert await three == OK
        assert bench.state == (0, 0)

    run_virtual(main())


def test_a_waiter_that_is_cancelled() -> None:
    """It leaves the queue at once."""

    async def main() -> None:
        bench = Bench(LimitRule(in_flight=1, queue=1))
        _, one = await bench.enters()
        _, two = await bench.enters()
        two.cancel()
        await asyncio.wait([two])
        assert bench.state == (1, 0)
        one.cancel()
        await asyncio.wait([one])

    run_virtual(main())

"""The layer that gives answers again, by hand: what no request on virtual time can bring about."""

from __future__ import annotations

import asyncio

import pytest

from dispatcher.flow.sink import NoSink
from dispatcher.layers.cache import Answers, cache
from dispatcher.layers.types import Attempt, BranchCall, BranchRun, Sink
from dispatcher.model.caching import CacheRule
from dispatcher.model.plan import Node, Plan, Worker
from dispatcher.policies.books import Books
from fanmesh.model.fault import Code, Fault, FaultKind
from fanmesh.model.outcome import Outcome, Success
from fanmesh.model.states import AttemptKind, BranchState
from fanmesh.model.times import ms
from fanmesh.testing import run_virtual
from tests.kit.story import request_of

NO = NoSink()
OLD, NEW = Success("old"), Success("new")
LATE = Fault(FaultKind.LOCAL_TIMEOUT, Code.DEADLINE_EXCEEDED, retryable=True)
ANSWERS = Answers(lambda _run, _rule: b"k", lambda value: str(value).encode(), lambda body: body.decode())  # type: ignore[union-attr]


class Bench:
    """A branch with a cache, whose calls end when the test says so."""

    def __init__(self, rule: CacheRule | None) -> None:
        self.node = Node("a", Worker("w"), cache=rule)
        self.books = Books()
        self.now = 0
        self.calls: list[asyncio.Future[Outcome]] = []
        self.layer: BranchCall = cache(self.books, ANSWERS, now=lambda: self.now)(self._call)
        self.sent: list[BranchRun] = []

    async def _call(self, _run: BranchRun, _sink: Sink) -> Outcome:
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.calls.append(future)
        return await future

    async def enters(self, deadline: int = ms(100), *, ended: bool = False) -> tuple[BranchRun, asyncio.Task[Outcome]]:
        """A branch comes, and gets as far as it gets. `ended`: that it waits ends its request, for a timer of it was late."""

        def sent(run: BranchRun, now: int) -> None:
            self.sent.append(run)
            if ended:
                run.ended_at = now

        run = BranchRun(request_of(), Plan("p", (self.node,)), self.node, 0, deadline, sent)
        task = asyncio.ensure_future(self.layer(run, NO))
        await asyncio.sleep(0)
        return run, task

    async def lands(self, outcome: Outcome) -> None:
        """The last call ends."""
        self.calls[-1].set_result(outcome)
        for _ in range(3):
            await asyncio.sleep(0)

    @property
    def flying(self) -> int:
        """Calls that are made for all who want them."""
        return len(self.books.caches.branches["p", "a"].flights)


def test_without_a_cache_no_book_is_opened() -> None:
    """It costs nothing: what is below is what is called."""

    async def main() -> None:
        bench = Bench(None)
        _, task = await bench.enters()
        await bench.lands(NEW)
        assert await task is NEW
        assert bench.books.caches.branches == {}

    run_virtual(main())


def test_who_waits_may_be_over_before_it_begins() -> None:
    """A timer of its request was due before: it ends as cancelled, and takes no part in anything."""

    async def main() -> None:
        bench = Bench(CacheRule(ttl=0))
        _, leads = await bench.enters()
        _, over = await bench.enters(ended=True)
        await asyncio.wait([over])
        assert over.cancelled()
        leads.cancel()
        await asyncio.wait([leads])
        assert (len(bench.calls), bench.flying) == (1, 0)

    run_virtual(main())


def test_at_the_branchs_own_end_flow_decides() -> None:
    """The transport's clock was a moment early: the timeout is handed up, and flow, whose alarm is due, asks for itself."""

    async def main() -> None:
        bench = Bench(CacheRule(ttl=1, stale=ms(1000)))
        await bench.enters()
        await bench.lands(OLD)
        bench.now = ms(96)
        run, task = await bench.enters()
        assert run.stand_in is not None
        asked = run.stand_in()
        assert isinstance(asked, Success)
        assert (asked.value, asked.instead and asked.instead.code) == ("old", Code.DEADLINE_EXCEEDED)
        await bench.lands(LATE)
        assert await task is LATE
        assert run.stand_in is None
        bench.now = ms(90)
        _, task = await bench.enters()
        await bench.lands(LATE)
        assert await task == OLD._replace(instead=LATE)

    run_virtual(main())


def test_a_branch_that_flow_has_ended_is_given_nothing() -> None:
    """Its report may be out. And its failure is nobody else's: it was cut."""

    async def main() -> None:
        bench = Bench(CacheRule(ttl=1, stale=ms(1000)))
        await bench.enters()
        await bench.lands(OLD)
        bench.now = 10
        run, task = await bench.enters()
        _, waits = await bench.enters()
        run.ended_at, run.state = 10, BranchState.TIMED_OUT
        fault = Fault.unavailable()
        await bench.lands(fault)
        assert await task is fault
        assert (len(bench.calls), waits.done()) == (3, False)
        await bench.lands(NEW)
        assert await waits is NEW

    run_virtual(main())


def test_an_answer_after_the_end_is_an_answer() -> None:
    """Flow has ended the branch, and its call has come to a good end all the same: it is kept, and given to those who wait."""

    async def main() -> None:
        bench = Bench(CacheRule(ttl=1000))
        run, _ = await bench.enters()
        _, waits = await bench.enters()
        run.ended_at = 10
        await bench.lands(NEW)
        assert (await waits, len(bench.calls)) == (NEW, 1)
        _, hit = await bench.enters()
        assert await hit == NEW

    run_virtual(main())


def test_what_stands_in_below_is_not_kept() -> None:
    """An answer in the place of one that could not be had: neither stored nor shared, the next one calls."""

    async def main() -> None:
        bench = Bench(CacheRule(ttl=1000))
        _, leads = await bench.enters()
        _, waits = await bench.enters()
        await bench.lands(OLD._replace(instead=Fault.unavailable()))
        assert (await leads).instead is not None  # type: ignore[union-attr]
        assert len(bench.calls) == 2
        await bench.lands(NEW)
        assert await waits is NEW

    run_virtual(main())


@pytest.mark.parametrize("kind", AttemptKind, ids=lambda kind: kind.name)
def test_the_answer_of_the_attempt_that_decided(kind: AttemptKind) -> None:
    """It is that one's that is kept, whichever attempt it was, and not the mapped one of the branch."""

    async def main() -> None:
        bench = Bench(CacheRule(ttl=1000))
        run, task = await bench.enters()
        run.attempts = [Attempt(run, 0, AttemptKind.FIRST, 0), Attempt(run, 1, kind, 0)]
        run.attempts[0].answer, run.attempts[1].answer = Success("first"), Success("second")
        run.deciding = run.attempts[0]
        await bench.lands(Success("mapped"))
        assert await task == Success("mapped")
        _, hit = await bench.enters()
        assert await hit == Success("first")

    run_virtual(main())


def test_a_reload_while_calls_fly() -> None:
    """Who flies, and who waits, end as they would have; who comes by the old configuration calls without a cache."""

    async def main() -> None:
        bench = Bench(CacheRule(ttl=1000))
        old = bench.node
        _, leads = await bench.enters()
        _, waits = await bench.enters()
        new = Node("a", Worker("v"), cache=old.cache)
        bench.books.caches.reloaded([Plan("p", (new,))])
        run, late = await bench.enters()
        assert [(note.what, note.why) for note in run.notes] == [("cache_bypassed", "reloaded")]
        bench.node = new
        _, fresh = await bench.enters()
        assert len(bench.calls) == 3
        for call, value in zip(bench.calls, ("1", "2", "3"), strict=True):
            call.set_result(Success(value))
        ended = [await task for task in (leads, waits, late, fresh)]
        assert ended == [Success("1"), Success("1"), Success("2"), Success("3")]
        _, hit = await bench.enters()
        assert await hit == Success("3")

    run_virtual(main())


def test_nothing_of_the_branch_is_held() -> None:
    """What flow asks at the hard timeout refers back to the branch: let go of at the end, also of one that is cancelled."""

    async def main() -> None:
        bench = Bench(CacheRule(ttl=0, stale=1))
        run, task = await bench.enters()
        other, waits = await bench.enters()
        assert None not in (run.stand_in, other.stand_in)
        for one in (waits, task):
            one.cancel()
        await asyncio.wait([task, waits])
        assert (run.stand_in, other.stand_in, bench.flying) == (None, None, 0)

    run_virtual(main())

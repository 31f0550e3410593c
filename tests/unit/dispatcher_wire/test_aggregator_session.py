"""When a remote merge is given up for silence: on virtual time, with a peer that folds, and is as slow as it is told to be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aggregator.engine.fold import Fold
from dispatcher.policies.breaker import Breaker, Judgement, Permit
from dispatcher.policies.failover import RULE
from dispatcher.wire.aggregator_session import RemoteSession
from fanmesh.eventlog import decode_event, encode_ack, encode_effect
from fanmesh.model.completion import CompletionRule
from fanmesh.model.events import Change, Effect, End, Event, FoldNode, Happening, PartArrived, Result, Start, Update, Verdict
from fanmesh.model.merge import MergeSpec
from fanmesh.model.states import AggregatorMode, BranchState, ChangeKind
from fanmesh.model.times import MS, SECOND
from fanmesh.testing.loop import VirtualClock, VirtualLoop, run_virtual

REMOTE, FELL_BACK = AggregatorMode.REMOTE, AggregatorMode.FELL_BACK
END = 10 * SECOND
PARTS = 100


def log() -> list[Event]:
    """A stream of parts and its end."""
    start = Start("r", "p", (FoldNode("a"),), 8 * SECOND, END, CompletionRule(), MergeSpec("collect"))
    parts = [PartArrived("a", 0, number, False, f"{number:03} ") for number in range(PARTS)]
    told: list[Happening] = [start, Change("a", ChangeKind.STARTED), *parts, End("a", 0, BranchState.SUCCEEDED, streamed=True)]
    return [Event(seq, 0, what) for seq, what in enumerate(told, 1)]


class Peer:
    """The aggregator's end of the only stream, and the session's owner.

    `takes` and `acks` are asked with the number of a message: in how many ns it is taken, and then acknowledged; None = never.
    """

    acks = True

    def __init__(self, takes: Callable[[int], int | None], acks: Callable[[int], int | None]) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self.loop = loop
        self.clock = VirtualClock(loop)
        self.channel: Any = self
        self.breaker = Breaker()
        self.fallbacks: list[tuple[str, int]] = []
        self.effects: list[Effect] = []
        self._takes = takes
        self._acks = acks
        self._count = 0
        self._fold = Fold()
        self._answers: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.result: asyncio.Future[Result] = loop.create_future()
        self.session = RemoteSession(self, self._deliver, END)
        self._task: asyncio.Task[None] | None = None

    # ------------------------------------------------------------------ the owner
    def on_fallback(self, why: str) -> None:
        """Note it, and when."""
        self.fallbacks.append((why, self.loop.now))

    def admit(self, end: int) -> Permit | None:
        """As the remote aggregator does."""
        return self.breaker.acquire(self.loop.now, end)

    def settle(self, permit: Permit, judgement: Judgement) -> None:
        """As the remote aggregator does."""
        self.breaker.settle(permit, judgement, RULE, self.loop.now, 0.0)

    def run(self, session: RemoteSession) -> asyncio.Task[None]:
        """As the remote aggregator does."""
        self._task = asyncio.ensure_future(session.converse())
        return self._task

    async def outcome(self) -> Result:
        """Feed the whole log at once, and wait for the result and the end of the stream."""
        for event in log():
            self.session.feed(event)
        result = await self.result
        assert self._task is not None
        await asyncio.wait((self._task,))
        assert self._task.cancelled() or self._task.exception() is None
        return result

    def _deliver(self, effect: Effect) -> None:
        if isinstance(effect, Verdict):
            self.session.finish()
        elif isinstance(effect, Result):
            self.result.set_result(effect)

    # ------------------------------------------------------------------ the channel, and the call
    def ready(self) -> bool:
        """Always."""
        return True

    def duplex(self, _path: str, *, timeout: float) -> Peer:
        """The one call."""
        assert timeout > 0
        return self

    async def write(self, message: bytes) -> None:
        """Take it, fold it, and answer; or never return, as when the peer's window is closed."""
        number, self._count = self._count, self._count + 1
        await self._after(self._takes(number))
        event = decode_event(message)
        answers = [encode_effect(effect) for effect in self._fold.apply(event) if not isinstance(effect, Update)]
        if (wait := self._acks(number)) is not None:
            for answer in answers or [encode_ack(event.seq)]:
                self.loop.call_later(wait / SECOND, self._answers.put_nowait, answer)

    async def half_close(self) -> None:
        """The end of the log, and so of the call."""
        self._answers.put_nowait(None)

    async def read(self) -> bytes | None:
        """The next answer."""
        return await self._answers.get()

    async def aclose(self) -> None:
        """Nothing is to be freed."""

    async def _after(self, wait: int | None) -> None:
        turn: asyncio.Future[None] = self.loop.create_future()
        if wait is not None:
            self.loop.call_later(wait / SECOND, turn.set_result, None)
        await turn


def told(takes: Callable[[int], int | None], acks: Callable[[int], int | None]) -> tuple[Peer, Result]:
    """A whole conversation with such a peer."""

    async def story() -> tuple[Peer, Result]:
        peer = Peer(takes, acks)
        return peer, await peer.outcome()

    peer, result = run_virtual(story())
    assert result.value == {"a": "".join(f"{number:03} " for number in range(PARTS))}
    return peer, result


def test_a_queue_is_no_silence() -> None:
    """An aggregator that takes an event each 20 ms and acknowledges it is not given up because a hundred wait behind it."""
    peer, _ = told(lambda _: 20 * MS, lambda _: MS)
    assert (peer.session.mode, peer.fallbacks) == (REMOTE, [])
    assert peer.loop.now > 2 * SECOND


def test_a_peer_that_takes_nothing_more_is_silent() -> None:
    """A write that flow control holds has its limit from when it began, whatever waited before and waits behind it."""
    peer, _ = told(lambda number: 20 * MS if number < 50 else None, lambda _: MS)
    assert (peer.session.mode, peer.fallbacks) == (FELL_BACK, [("silent", 50 * 20 * MS + 250 * MS)])


def test_a_peer_that_never_takes_anything_is_silent() -> None:
    """From the first event on."""
    peer, _ = told(lambda _: None, lambda _: MS)
    assert peer.fallbacks == [("silent", 250 * MS)]


def test_a_peer_that_takes_all_and_acknowledges_nothing_is_silent() -> None:
    """The limit counts from when the transport took the oldest."""
    peer, _ = told(lambda number: 100 * MS if number == 0 else MS, lambda _: None)
    assert peer.fallbacks == [("silent", 350 * MS)]


def test_a_long_write_is_not_also_a_long_silence() -> None:
    """200 ms until it is taken, 200 ms until it is acknowledged: each is within the limit."""
    peer, _ = told(lambda number: 200 * MS if number == 3 else MS, lambda number: 200 * MS if number == 3 else MS)
    assert (peer.session.mode, peer.fallbacks) == (REMOTE, [])

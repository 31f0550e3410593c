"""One request's conversation with the Aggregator service, and its end in this process when that one fails.

The session sends the request's event log over one bidirectional stream and keeps it. Because the fold is pure, whatever goes
wrong with the service has one remedy: fold the same log here, from its beginning. Nothing is negotiated or repaired, and no
call is made a second time: the time for that is what the request does not have.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from dispatcher.flow.ports import Clock, Deliver, Timer
from dispatcher.policies.breaker import Judgement, Permit
from dispatcher.policies.failover import Failover, FallBack, Phase, Wait, Why, judge
from dispatcher.wire.aggregator_embedded import EmbeddedSession
from dispatcher.wire.backlog import Backlog
from fanmesh.eventlog import AGGREGATE, Ack, LogError, decode_answer, encode_event
from fanmesh.model.events import Effect, Event, Result, Start, Verdict
from fanmesh.model.states import AggregatorMode
from fanmesh.model.times import seconds
from fanmesh.payload import PayloadError
from fanmesh.transport.port import Channel, Duplex, RpcError


class Owner(Protocol):
    """What the sessions of one aggregator share."""

    channel: Channel
    clock: Clock
    on_fallback: Callable[[str], None]
    acks: bool

    def admit(self, end: int) -> Permit | None:
        """The right to ask the aggregator about a request that ends at `end`; None: it is left alone for now."""
        ...

    def settle(self, permit: Permit, judgement: Judgement) -> None:
        """What came of it."""
        ...

    def run(self, session: RemoteSession) -> asyncio.Task[None]:
        """Own the conversation of `session` until it has ended."""
        ...


class RemoteSession:
    """One request's stream to the aggregator, or after a fallback its fold in this process."""

    __slots__ = (
        "_backlog",
        "_changed",
        "_deliver",
        "_end",
        "_failover",
        "_finished",
        "_left",
        "_local",
        "_owner",
        "_permit",
        "_task",
        "_timer",
        "_timer_at",
        "_waiting",
    )

    def __init__(self, owner: Owner, deliver: Deliver, end: int) -> None:
        self._owner = owner
        self._deliver = deliver
        self._end = end
        self._backlog = Backlog()
        self._changed = asyncio.Event()
        self._failover = Failover(end, end, acks=owner.acks)
        self._finished = False
        self._left = False
        self._local: EmbeddedSession | None = None
        self._permit: Permit | None = None
        self._task: asyncio.Task[None] | None = None
        self._timer: Timer | None = None
        self._timer_at = 0
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def mode(self) -> AggregatorMode:
        """REMOTE, until it had to be given up."""
        return AggregatorMode.REMOTE if self._local is None else AggregatorMode.FELL_BACK

    @property
    def expression_errors(self) -> int:
        """How often the plan's predicate could not be evaluated here; what the service met is in its own trace."""
        return 0 if self._local is None else self._local.expression_errors

    @property
    def queued(self) -> int:
        """Bytes that wait to be sent."""
        return self._backlog.queued

    @property
    def settled(self) -> bool:
        """Whether the aggregator has acknowledged all that was fed; without a limit on acknowledgements, has taken it."""
        return not self._backlog.queued and not self._failover.waits

    # ------------------------------------------------------------------ what flow asks

    def feed(self, event: Event) -> asyncio.Future[None] | None:
        """Queue the next event. A future: the queue is full, and the stream that this part came from has to wait."""
        if self._local is not None:
            self._local.feed(event)
            return None
        if self._failover.phase is Phase.OVER:
            return None
        if isinstance(event.what, Start):
            self._failover = Failover(self._end - event.what.total + event.what.stop, self._end, acks=self._owner.acks)
            self._backlog.conflates = not event.what.completion.looks_at_parts
        try:
            refused = None if self._backlog.add(event, encode_event(event)) else Why.LOG_FULL
        except PayloadError:
            refused = Why.MALFORMED
        if refused is not None:
            self._fall_back(refused, event, judgement=Judgement.NEUTRAL)
            return None
        if self._task is None:
            if not self._owner.channel.ready():
                self._fall_back(Why.UNREACHABLE)
                return None
            self._permit = self._owner.admit(self._end)
            if self._permit is None:
                self._fall_back(Why.BREAKER_OPEN)
                return None
            self._task = self._owner.run(self)
            self._look()
        self._changed.set()
        if self._local is None and self._backlog.full and self._backlog.keeps(event.what):
            room: asyncio.Future[None] = self._task.get_loop().create_future()
            self._waiting.append(room)  # one for each: whoever awaits it may be cancelled, and cancels it
            return room
        return None

    def finish(self) -> None:
        """Nothing more comes: half-close once the queue is empty."""
        self._finished = True
        if self._failover.phase is not Phase.OPEN:
            self._backlog.unsend()
        self._changed.set()

    def close(self) -> None:
        """Nobody wants the result any more. If it is here already the stream ends by itself, which is cheaper."""
        if self._failover.phase is not Phase.OVER:
            self.abort()

    def abort(self) -> None:
        """End the stream now."""
        self._conclude(Judgement.NEUTRAL)
        self._deliver = _unwanted
        if self._task is not None:
            self._leave(self._task)

    # ------------------------------------------------------------------ the stream

    async def converse(self) -> None:
        """Write and read until the stream has ended, however it does."""
        try:
            duplex = self._owner.channel.duplex(AGGREGATE, timeout=seconds(self._end - self._owner.clock.now()))
        except RpcError:
            self._fall_back(Why.UNREACHABLE)
            return
        writer = asyncio.ensure_future(self._write(duplex))
        try:
            await self._read(duplex)
        except RpcError as error:
            why = Why.BROKEN if error.sent else Why.UNREACHABLE
            self._fall_back(why, judgement=judge(why, code=error.code))
        except LogError:
            self._fall_back(Why.MALFORMED)
        finally:
            writer.cancel()
            await asyncio.wait((writer,))
            await duplex.aclose()
        if not writer.cancelled():
            writer.result()  # a defect is seen

    async def _write(self, duplex: Duplex) -> None:
        """The one writer. Nobody can tell that it is stuck but the timer that is set before each write."""
        failover, now = self._failover, self._owner.clock.now
        try:
            while True:
                while (taken := self._backlog.take()) is not None:
                    seq, data = taken
                    failover.sending(seq, now())
                    self._look()
                    self._let_in()
                    await duplex.write(data)
                    failover.sent(seq, now())
                if self._finished:
                    break
                self._changed.clear()
                await self._changed.wait()
            await duplex.half_close()
        except RpcError:
            pass  # the reader is told the same, and acts on it

    async def _read(self, duplex: Duplex) -> None:
        """Read to the end, also what nobody needs any more: a peer that cannot write could not end."""
        while (raw := await duplex.read()) is not None:
            self._take(raw)
            if self._left:
                return
        self._fall_back(Why.BROKEN)  # does nothing if the result is here

    def _take(self, raw: bytes) -> None:
        if self._failover.phase is Phase.OVER:
            return
        match decode_answer(raw):
            case Ack(seq):
                self._failover.acked(seq)
                if self._permit is not None and self._permit.probe:
                    self._settle(Judgement.SUCCESS)  # it is there and keeps up: nobody should wait for this request's end
            case Verdict() as verdict:
                self._failover.judged(self._owner.clock.now())
                self._look()
                self._deliver(verdict)
            case Result() as result:
                self._conclude(judge(None))
                deliver, self._deliver = self._deliver, _unwanted  # the owner is let go: it holds this session, too
                deliver(result)
            case effect:
                self._deliver(effect)

    # ------------------------------------------------------------------ giving up

    def _look(self) -> None:
        """Do what is due; let the timer stand for the rest. One that is early enough stays: firing early is harmless."""
        match self._failover.decide(self._owner.clock.now()):
            case FallBack(why):
                self._fall_back(why)
            case Wait(until) if self._timer is None or until < self._timer_at:
                self._disarm()
                self._timer_at = until
                self._timer = self._owner.clock.call_at(until, self._fired)
            case _:
                pass

    def _fired(self) -> None:
        self._timer = None
        self._look()

    def _fall_back(self, why: Why, *more: Event, judgement: Judgement | None = None) -> None:
        """Replay the log here, and `more` that never got into it. `judgement` of the aggregator, if not what `why` says alone.

        What is said again is harmless: flow ignores a second verdict, and alarms only repeat.
        """
        if self._local is not None or self._failover.phase is Phase.OVER:
            return
        log = [*self._backlog.replay(), *more]
        self._local = EmbeddedSession(self._deliver)
        self._conclude(judge(why, fair=self._failover.fair) if judgement is None else judgement)
        if self._task is not None:
            self._leave(self._task)
        self._owner.on_fallback(why.value)
        self._local.replay(log)

    def _conclude(self, judgement: Judgement) -> None:
        """The stream has done its duty: no timer, no log, nobody waits."""
        self._settle(judgement)
        self._failover.over()
        self._disarm()
        self._backlog.forget()
        self._let_in()

    def _settle(self, judgement: Judgement) -> None:
        """Tell the breaker, once."""
        permit, self._permit = self._permit, None
        if permit is not None:
            self._owner.settle(permit, judgement)

    def _leave(self, task: asyncio.Task[None]) -> None:
        """End the conversation. From inside it only by returning: a task that cancels itself is cut in its own clean-up."""
        if not self._left and task is not asyncio.current_task():
            task.cancel()
        self._left = True

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _let_in(self) -> None:
        """Let waiting streams go on, if there is room."""
        if self._waiting and not self._backlog.full:
            waiting, self._waiting = self._waiting, []
            for room in waiting:
                if not room.done():
                    room.set_result(None)


def _unwanted(_effect: Effect) -> None:
    """Nobody listens any more."""

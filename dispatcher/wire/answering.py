"""One request, from its message to what will be told of it: the path that all services of a dispatcher share.

Dispatch, DispatchStream and a dispatcher that is called as a worker differ in their messages only. Whatever decides (the door,
the idempotency keys, the engine) stands here once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from dispatcher.flow.dispatch import dispatch
from dispatcher.flow.ports import Engine
from dispatcher.flow.underway import Underway
from dispatcher.model.limits import Limits
from dispatcher.model.plan import Catalogue
from dispatcher.model.request import Refusal, Request, Trace
from dispatcher.policies.idempotency import No
from dispatcher.policies.overload import Why
from dispatcher.wire.door import Door, Passage
from dispatcher.wire.eras import Era
from dispatcher.wire.explain import Explainer
from dispatcher.wire.inbound import KINDS, TurnedAway, request_of
from dispatcher.wire.outbound import Finished, finish, refused
from dispatcher.wire.replays import Replays, Ticket, body_of
from dispatcher.wire.view import Seen, View
from fanmesh.model.fault import Code
from fanmesh.model.states import EmitMode
from fanmesh.model.times import MS, seconds
from fanmesh.payload import Kind, kind_of
from fanmesh.transport.port import Metadata, ServerCall
from fanmesh.v1 import dispatcher_pb2

MARGIN: Final = 10 * MS
"""A caller that joined a run is told this much before its own deadline that the time is over, so that it hears why."""


@dataclass(frozen=True, slots=True)
class Serving:
    """What the services need. `catalogue` and `era` give those in force; a request keeps the ones it began with."""

    engine: Engine
    catalogue: Callable[[], Catalogue]
    era: Callable[[], Era]
    trace: Callable[[Metadata], Trace]
    explain: Explainer
    limits: Limits
    door: Door
    replays: Replays


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that was accepted, and the message it came in."""

    message: dispatcher_pb2.DispatchRequest
    request: Request
    catalogue: Catalogue
    era: Era

    @property
    def key(self) -> str:
        """The key under which its run is shared. A shadow has none: it must neither take nor become the real one's reply."""
        return "" if self.request.shadow else self.request.idempotency_key

    def body(self) -> bytes:
        """What must be the same for its key to stand for the same request."""
        return body_of(self.message, self.request.metadata)


def accept(
    serving: Serving,
    message: dispatcher_pb2.DispatchRequest,
    call: ServerCall,
    metadata: Metadata,
    arrived: int,
    shed: Refusal | None,
    emit: EmitMode = EmitMode.FINAL,
    min_interval: int = 0,
    *,
    method: str,
) -> Asked:
    """A message that may run. Raises Unacceptable if it is wrong, or if the door has said no: then nothing of it is read."""
    if shed is not None:
        raise TurnedAway(shed)
    catalogue, trace = serving.catalogue(), serving.trace(metadata)
    request = request_of(message, metadata, call.time_remaining(), trace, catalogue, arrived, emit, min_interval)
    request.method = method
    return Asked(message, request, catalogue, serving.era())


async def answer(serving: Serving, asked: Asked) -> Finished:
    """Run it, or wait for its twin, or say again what its twin was told."""
    if not asked.key:
        return await _story(serving, asked, None)
    match serving.replays.claim(asked.key, asked.body(), lambda underway: _story(serving, asked, None, underway)):
        case Ticket() as ticket:
            with ticket:
                return await ended(ticket, asked.request, serving.engine.clock.now())
        case other:
            return _told(serving, asked, other)


async def watch(serving: Serving, asked: Asked, view: View, passage: Passage) -> AsyncGenerator[Seen | Finished]:
    """The same, seen while it runs; how it ended comes last. Of a run that is not its own a caller sees only that.

    The request is out of the door when its run has ended: a reader that is slow, or stands still, takes nobody's place.
    """
    if not asked.key:
        running = asyncio.ensure_future(_story(serving, asked, view))
        running.add_done_callback(lambda _: passage.out())
        try:
            async with aclosing(view.until(running)) as seen:
                async for one in seen:
                    yield one
            yield await running
        finally:
            if not running.done():
                running.cancel()
                serving.engine.reaper.adopt([running])
        return
    match serving.replays.claim(asked.key, asked.body(), lambda underway: _story(serving, asked, view, underway)):
        case Ticket(joined=False) as ticket:
            ticket.task.add_done_callback(lambda _: passage.out())
            with ticket:
                async with aclosing(view.until(ticket.task)) as seen:
                    async for one in seen:
                        yield one
                yield ticket.task.result()
        case Ticket() as ticket:
            with ticket:
                yield await ended(ticket, asked.request, serving.engine.clock.now())
        case other:
            yield _told(serving, asked, other)


def result_kind(message: dispatcher_pb2.DispatchRequest | None) -> Kind:
    """How the result is written: as asked for, else as the input came."""
    if message is None:
        return Kind.JSON
    return Kind(message.reply_kind) if message.reply_kind in KINDS else kind_of(message.input)


async def _story(serving: Serving, asked: Asked, view: View | None, underway: Underway | None = None) -> Finished:
    engine = serving.engine if view is None else view.engine(serving.engine)
    with asked.era:
        reply = await dispatch(engine, asked.catalogue, asked.request, view, underway)
    return finish(reply, result_kind(asked.message), serving.limits.reply)


async def ended(ticket: Ticket, request: Request, now: int) -> Finished:
    """How the run ended. Who joined it waits no longer than its own deadline; the first has given the run its own."""
    within = None
    if ticket.joined and request.remaining is not None:
        left = request.arrived + request.remaining - now
        within = seconds(max(0, left - min(MARGIN, left // 4)))
    await asyncio.wait((ticket.task,), timeout=within)
    if ticket.task.done():
        return ticket.task.result()
    text = "the request with this idempotency_key still runs; ask again with the same key"
    return refused(Refusal(Code.DEADLINE_EXCEEDED, "DEADLINE", text, (("field", "idempotency_key"),)))


def _told(serving: Serving, asked: Asked, what: Finished | No) -> Finished:
    match what:
        case No.REUSED:
            text = "idempotency_key: another request has this key"
            return refused(Refusal(Code.ALREADY_EXISTS, "IDEMPOTENCY_KEY_REUSED", text, (("field", "idempotency_key"),)))
        case No.FULL:
            return refused(serving.door.turn_away(Why.IDEMPOTENCY, critical=asked.request.critical))
        case finished:
            return finished._replace(replayed=True)

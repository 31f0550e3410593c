"""A server's connection: which handler a stream goes to, what a caller may not do, and how it drains.

The engine refuses what is malformed. What is well-formed and too much of it is counted here: streams that are reset before they
are answered, frames that carry nothing, answers that nobody takes, peers that have fallen silent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple, Protocol

import ngh2
from ngh2 import DataReceived, RequestReceived, StreamClosed, StreamReset, TrailersReceived

from fanmesh.model.fault import Code
from fanmesh.model.times import SECOND
from fanmesh.runtime.clock import now_ns
from fanmesh.transport.fast import headers
from fanmesh.transport.fast.connection import Connection
from fanmesh.transport.fast.deadlines import Deadlines
from fanmesh.transport.fast.defences import IDLE_ANSWER, IDLE_PING, LINGER, MAX_STREAMS, PEER_CONTROL, PEER_RESETS, Bucket
from fanmesh.transport.fast.listening import peer_name
from fanmesh.transport.fast.mapping import CANCEL, NO_ERROR, PROTOCOL_ERROR
from fanmesh.transport.fast.server_call import Call, Kind

_SETTINGS: Final = {int(ngh2.Setting.MAX_CONCURRENT_STREAMS): MAX_STREAMS}
_ENCODINGS: Final = (b"identity", b"gzip")
_NOTICE: Final = 1.0
"""Seconds for a peer to hear that it should open no more streams, if it does not answer the ping sent with the notice."""


class Route(NamedTuple):
    """What answers a path."""

    path: str
    kind: Kind
    handler: Any
    quiet: bool


class Running(Protocol):
    """Who counts the calls that are being answered."""

    def enter(self) -> None:
        """One more."""
        ...

    def leave(self) -> None:
        """One less."""
        ...


class ServerConnection(Connection):
    """One caller. `table` is the routes by path; `came` is told when it can take calls, and `gone` of the end."""

    __slots__ = (
        "_came",
        "_control",
        "_drained",
        "_fed",
        "_finishing",
        "_gone",
        "_pinged",
        "_resets",
        "_table",
        "_timers",
        "calls",
        "deadlines",
        "limit",
        "peer",
        "running",
    )

    def __init__(
        self,
        table: Mapping[bytes, Route],
        running: Running,
        came: Callable[[ServerConnection], None],
        gone: Callable[[ServerConnection], None],
        *,
        limit: int,
        encrypted: bool,
        gzip: bool,
    ) -> None:
        super().__init__(ngh2.Role.SERVER, _SETTINGS, encrypted=encrypted, gzip=gzip)
        self._table = table
        self._came = came
        self._gone = gone
        self.running = running
        self.deadlines = Deadlines(self.loop)
        self.limit = limit
        self.peer = ""
        self.calls: dict[int, Call] = {}
        self._finishing: dict[int, bool] = {}  # streams that are answered and not closed; whether all of the request came
        self._resets = Bucket(*PEER_RESETS)
        self._control = Bucket(*PEER_CONTROL)
        self._fed = False  # something useful has come since the last frame that carried nothing
        self._drained = 0  # 0: takes calls; 1: has said that it will not; 2: takes none
        self._pinged = 0
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Learn who it is, and watch over it."""
        socket = transport.get_extra_info("socket")
        self.peer = peer_name(transport.get_extra_info("peername"), socket.family if socket is not None else 0)
        super().connection_made(transport)
        if not self.closed:
            self._timers["idle"] = self.loop.call_later(IDLE_PING, self._look_after)
            self._came(self)

    # ---------------------------------------------------------------- events

    def handle(self, events: list[ngh2.Event]) -> None:
        """Give frames to their calls."""
        calls = self.calls
        for event in events:
            if self.closed:
                return
            if type(event) is DataReceived:
                call = calls.get(event.stream_id)
                if event.data:
                    self._fed = True
                    if call is not None:
                        call.received(event.data)
                    else:
                        self.acknowledge(len(event.data), event.stream_id)
                elif not event.end_stream:
                    self._carried_nothing("empty frames")
                if event.end_stream and call is not None:
                    self._whole(event.stream_id, call)
            elif type(event) is RequestReceived:
                self._fed = True
                self._requested(event.stream_id, event.headers, end=event.end_stream)
            elif type(event) is StreamClosed:
                self._finishing.pop(event.stream_id, None)
                call = calls.pop(event.stream_id, None)
                if call is not None:
                    if self.waiting:
                        self.release(event.stream_id)
                    call.closed()
                if event.error_code == PROTOCOL_ERROR and not self._resets.take(now_ns()):  # the engine's doing
                    self.calm("too many streams are malformed")
                if self._drained:
                    self._close_if_drained()
            elif type(event) is StreamReset:
                known = event.stream_id in calls or event.stream_id in self._finishing
                if known and not self._resets.take(now_ns()):
                    self.calm("too many streams are reset")
            elif type(event) is TrailersReceived:
                call = calls.get(event.stream_id)
                if call is not None:
                    self._whole(event.stream_id, call)
            else:
                self.rarely(event)

    def _whole(self, stream: int, call: Call) -> None:
        if stream in self._finishing:
            self._finishing[stream] = True
        call.end()

    def rarely(self, event: ngh2.Event) -> None:
        """PING and SETTINGS are counted; the answer to our own ping means that our notice has been heard."""
        if isinstance(event, ngh2.PingReceived | ngh2.SettingsReceived):
            self._carried_nothing("too_many_pings")
        elif isinstance(event, ngh2.PingAcknowledged) and self._drained == 1:
            self._refuse_further()
        if not self.closed:
            super().rarely(event)

    def _carried_nothing(self, what: str) -> None:
        if self._fed:
            self._fed = False
        elif not self._control.take(now_ns()):
            self.calm(what)

    def _requested(self, stream: int, fields: headers.Fields, *, end: bool) -> None:
        known = dict(fields)
        path = known.get(b":path", b"")
        kind = known.get(b"content-type", b"")
        if known.get(b":method") != b"POST" or not headers.is_grpc(kind):
            wrong = b"405" if known.get(b":method") != b"POST" else b"415"
            self._finishing[stream] = end
            with suppress(ngh2.NGH2Error):  # reset in the same read, which is yet to be counted
                self.h2.send_response(stream, [(b":status", wrong)], end_stream=True)
            return
        route = self._table.get(path) or Route(path.decode("latin-1"), Kind.UNARY, None, quiet=True)
        call = self.calls[stream] = Call(self, stream, fields, route.path, route.kind, route.handler, quiet=route.quiet)
        encoding = known.get(b"grpc-encoding", b"identity")
        timeout = known.get(b"grpc-timeout")
        if route.handler is None:
            call.fail(Code.UNIMPLEMENTED, f"no method {route.path}")
        elif encoding not in _ENCODINGS:
            call.fail(Code.UNIMPLEMENTED, f"messages in {encoding.decode('latin-1')!r}; identity and gzip are understood")
        elif timeout is None:
            call.begin(None, encoding, end=end)
            return
        elif (ns := headers.timeout_ns(timeout)) is None:
            call.fail(Code.INTERNAL, "a grpc-timeout that is none")
        else:
            call.begin(ns, encoding, end=end)
            return
        if end:
            self._whole(stream, call)

    # ---------------------------------------------------------------- answers that are on their way

    def finishing(self, stream: int, _: Call, *, received: bool) -> None:
        """The last of an answer is with the engine."""
        self._finishing[stream] = received

    def flushed(self) -> None:
        """Streams that are answered before their request was whole: ask the caller to stop sending it."""
        if not self._finishing or self.closed:
            return
        for stream in [stream for stream, received in self._finishing.items() if not received]:
            if self._has_left(stream):
                del self._finishing[stream]
                self.reset(stream, NO_ERROR)
        if "linger" not in self._timers:
            self._watch()

    def _has_left(self, stream: int) -> bool:
        """Whether an answer is out. Trailers have no size and wait for a window all the same; headers never do."""
        h2, call = self.h2, self.calls.get(stream)
        if h2.queued_body_size(stream):
            return False
        return call is None or not call.begun or (h2.remote_window_size > 0 and h2.stream_remote_window_size(stream) > 0)

    def _watch(self) -> None:
        """Look again later at the answers that are on their way."""
        if self._finishing and not self.closed:
            left = {stream: self.h2.queued_body_size(stream) for stream in self._finishing}
            self._timers["linger"] = self.loop.call_later(LINGER, self._linger, left)

    def _linger(self, then: Mapping[int, int]) -> None:
        """Answers of which nothing has been taken in all that time are thrown away. `then`: what was left of each."""
        del self._timers["linger"]
        for stream, left in then.items():
            if stream in self._finishing and self.h2.queued_body_size(stream) >= left:
                del self._finishing[stream]
                self.reset(stream, CANCEL)
        self._watch()

    # ---------------------------------------------------------------- its own life

    def _look_after(self) -> None:
        """Ask a peer that has fallen silent whether it is there."""
        now = now_ns()
        if self._pinged and self.heard < self._pinged:
            self.abort(f"no sign of life for {IDLE_PING + IDLE_ANSWER:g} s")
            return
        self._pinged = 0
        wait = IDLE_PING - (now - self.heard) / SECOND
        if wait <= 0:
            self._pinged = now
            self.h2.ping()
            self.schedule()
            wait = IDLE_ANSWER
        self._timers["idle"] = self.loop.call_later(wait, self._look_after)

    def age(self, seconds: float) -> None:
        """Drain after so long."""
        self._timers["age"] = self.loop.call_later(seconds, self.retire)

    def retire(self) -> None:
        """Say that no new streams are wanted, let those come that cross the notice, and close after the last one."""
        if self.closed or self._drained:
            return
        self._drained = 1
        self.h2.send_shutdown_notice()
        self.h2.ping()
        self.schedule()
        self._timers["notice"] = self.loop.call_later(_NOTICE, self._refuse_further)

    def _refuse_further(self) -> None:
        if self.closed or self._drained == 2:
            return
        self._drained = 2
        self._timers.pop("notice").cancel()
        with suppress(ngh2.NGH2Error):  # the peer has said so itself, in the same read as its answer to the ping
            self.h2.send_goaway(NO_ERROR)
        self.schedule()
        self._close_if_drained()

    def _close_if_drained(self) -> None:
        if self._drained == 2 and not self.calls and not self._finishing:
            self.schedule()
            self.loop.call_soon(self.end, "no call is left on it")

    def finish(self) -> None:
        """The server stops: cancel what runs, say so to callers, close."""
        for call in list(self.calls.values()):
            call.stop()
        if not self.closed:
            self.flush()
            self.end("the server has stopped")

    def lost(self) -> None:
        """End all calls."""
        for timer in self._timers.values():
            timer.cancel()
        calls = list(self.calls.values())
        self.calls.clear()
        for call in calls:
            call.closed()
        self.deadlines.close()
        self._gone(self)

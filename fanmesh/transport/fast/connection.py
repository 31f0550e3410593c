"""One socket and one HTTP/2 engine: what clients and servers share.

The engine is sans-io: bytes in, events out, bytes out. It is driven from the protocol's callbacks, without a task of its own.
What the calls of one turn of the loop have to say leaves in one write at its end: that, and futures in the place of tasks, is
where the CPU is saved. Nothing is taken from the engine while the socket holds back more than it should, so what waits, waits
in the engine's queues by stream, where writers can see it.

The engine must not be entered twice. The garbage collector may run while it makes an event, and closes coroutines that nobody
holds: their `finally` may end a call, and with the last one this connection. So what would take bytes waits for the next turn.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Final, cast

import ngh2

from fanmesh.runtime.clock import now_ns
from fanmesh.transport.fast.defences import (
    CHUNK,
    CONNECTION_LEAST,
    CONNECTION_WINDOW,
    GREETING,
    HELD_BACK,
    HIGH_WATER,
    LARGE,
    MAX_CONTINUATIONS,
    MAX_FIELDS,
    MAX_HEADERS,
    PARTING,
    STREAM_WINDOW,
)
from fanmesh.transport.fast.framing import deflate, goaway, head, packed_head
from fanmesh.transport.fast.mapping import ENHANCE_YOUR_CALM, NO_ERROR, PROTOCOL_ERROR

_SETTINGS: Final = {int(ngh2.Setting.INITIAL_WINDOW_SIZE): STREAM_WINDOW, int(ngh2.Setting.MAX_HEADER_LIST_SIZE): MAX_HEADERS}
_EVERY_RESET: Final = (1_000_000, 1_000_000)  # the engine's own guard answers INTERNAL_ERROR; ours says what it is


def configuration() -> ngh2.Configuration:
    """The engine's limits."""
    return ngh2.Configuration(
        auto_window_update=False,
        peer_max_concurrent_streams=2**31 - 1,
        stream_reset_rate_limit=_EVERY_RESET,
        max_continuations=MAX_CONTINUATIONS,
        max_inbound_header_list_size=MAX_HEADERS,
        max_inbound_header_count=MAX_FIELDS,
    )


class Connection(asyncio.Protocol, ABC):
    """What clients and servers share. Belongs to the loop that runs when it is made."""

    __slots__ = (
        *("_greeting", "_settings", "_working", "closed", "encrypted", "failure", "greeted", "gzip", "h2", "heard"),
        *("_parting", "loop", "paused", "peer_headers", "scheduled", "transport", "waiting"),
    )

    transport: asyncio.Transport

    def __init__(self, role: ngh2.Role, settings: Mapping[int, int], *, encrypted: bool, gzip: bool) -> None:
        self.loop = asyncio.get_running_loop()
        self.h2 = ngh2.Connection(role, configuration())
        self.encrypted = encrypted
        self.gzip = gzip
        """Whether messages should be compressed."""
        self.closed = True  # nothing goes in or out: not yet, or no more
        self.greeted = False  # the peer's SETTINGS have come
        self.paused = False
        self.scheduled = False
        self.failure = ""
        """Why it ended, in words."""
        self.heard = 0
        """When something came last, in ns."""
        self.peer_headers = MAX_HEADERS
        """How large a header list the peer takes."""
        self._settings = settings
        self._working = False  # the engine is being driven: whoever runs now has been called from inside it
        self.waiting: dict[int, list[asyncio.Future[None]]] = {}
        """Writers that wait for room, by stream."""
        self._greeting: asyncio.TimerHandle | None = None
        self._parting: asyncio.TimerHandle | None = None

    # ---------------------------------------------------------------- the socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say hello: SETTINGS, and a window for the whole connection that no stream can shut."""
        self.transport = cast("asyncio.Transport", transport)  # of a stream protocol it is one
        self.closed = False
        self.transport.set_write_buffer_limits(high=HELD_BACK)
        self.heard = now_ns()
        if self.encrypted:
            chosen = transport.get_extra_info("ssl_object").selected_alpn_protocol()
            if chosen != "h2":
                self.end(f"the peer speaks no HTTP/2 (ALPN: {chosen})")
                return
        self.h2.initiate_connection({**_SETTINGS, **self._settings})
        self.h2.set_local_window_size(CONNECTION_WINDOW)
        self._greeting = self.loop.call_later(GREETING, self.end, f"no HTTP/2 settings within {GREETING:g} s")
        self.flush()

    def data_received(self, data: bytes) -> None:
        """Give bytes to the engine, and what they mean to whom it concerns."""
        if self.closed:
            return
        self.heard = now_ns()
        h2 = self.h2
        try:
            self._working = True
            try:
                h2.receive_data(data)
            finally:
                self._working = False
        except ngh2.NGH2Error as e:
            self._broken(e)
            return
        self.handle(h2.events())
        if not self.scheduled and not self.closed and h2.want_write:
            self.scheduled = True
            self.loop.call_soon(self.flush)

    def pause_writing(self) -> None:
        """The socket holds back enough."""
        self.paused = True

    def resume_writing(self) -> None:
        """It has room again."""
        self.paused = False
        self.schedule()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone, from whichever side."""
        if self._parting is not None:
            self._parting.cancel()
        if not self.closed:
            self.closed = True
            self.failure = self.failure or f"the connection was lost{f': {exc}' if exc else ''}"
            self._bury()

    # ---------------------------------------------------------------- going out

    def schedule(self) -> None:
        """Flush at the end of this turn of the loop."""
        if not self.scheduled and not self.closed:
            self.scheduled = True
            self.loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write what the engine has to say, as far as socket and windows allow."""
        self.scheduled = False
        if self._working:
            self.schedule()
            return
        h2 = self.h2
        while not self.paused and not self.closed:
            try:
                data = self._take()
            except ngh2.NGH2Error as e:
                self._broken(e)
                return
            drained = len(data) < CHUNK
            self.taken(drained=drained)
            if data:
                self.transport.write(data)
            events = h2.events()
            if events:
                self.handle(events)
            if drained:
                self.flushed()
                break
        if self.waiting:
            self._wake()

    def _take(self) -> bytes:
        self._working = True
        try:
            return self.h2.data_to_send(CHUNK)
        finally:
            self._working = False

    def _wake(self) -> None:
        size = self.h2.queued_body_size
        for stream in [stream for stream in self.waiting if size(stream) <= HIGH_WATER]:
            self.release(stream)

    def send(self, stream: int, message: bytes, *, end_stream: bool = False, gzip: bool = False) -> None:
        """Queue one message behind its head. `gzip`: the call's grpc-encoding, which each message may do without."""
        if gzip and (packed := deflate(message)) is not None:
            message = packed
            first = packed_head(len(message))
        else:
            first = head(len(message))
        if len(message) < LARGE:
            self.h2.send_data(stream, first + message, end_stream=end_stream)
        else:
            self.h2.send_data(stream, first)
            self.h2.send_data(stream, message, end_stream=end_stream)

    def full(self, stream: int) -> bool:
        """Whether a writer of this stream should wait."""
        return self.h2.queued_body_size(stream) > HIGH_WATER

    async def room(self, stream: int) -> None:
        """Wait until the stream has room, or has ended. Those who wait go on in the order in which they came."""
        waiter: asyncio.Future[None] = self.loop.create_future()
        self.waiting.setdefault(stream, []).append(waiter)
        await waiter

    def release(self, stream: int) -> None:
        """Let those go on who wait for room in the stream: there is some, or the stream has ended."""
        for waiter in self.waiting.pop(stream, ()):
            if not waiter.done():
                waiter.set_result(None)

    def acknowledge(self, size: int, stream: int) -> None:
        """Open the stream's window again by bytes that somebody has consumed."""
        if not size or self.closed:
            return
        h2 = self.h2
        try:
            h2.acknowledge_received_data(size, stream)
        except ngh2.NGH2Error:
            return  # the last frame of a connection that ends: its window is for nobody any more
        if not self.scheduled and h2.want_write:
            self.scheduled = True
            self.loop.call_soon(self.flush)

    def reset(self, stream: int, error_code: int) -> None:
        """End a stream now."""
        if self.closed:
            return
        with suppress(ngh2.NGH2Error):  # same
            self.h2.reset_stream(stream, error_code)
            self.schedule()
            if self.h2.local_window_size < CONNECTION_LEAST:
                self.retire()

    # ---------------------------------------------------------------- the end

    def _broken(self, error: ngh2.NGH2Error) -> None:
        """The engine has given up: tell the peer why, as it can no more."""
        calm = isinstance(error, ngh2.DenialOfServiceError)
        text = str(error).encode(errors="replace")[:200]
        self.transport.write(goaway(2**31 - 1, ENHANCE_YOUR_CALM if calm else PROTOCOL_ERROR, text))
        self.end(f"the peer broke HTTP/2: {error}", queued=False)

    def calm(self, debug: str) -> None:
        """The peer asks for too much: GOAWAY ENHANCE_YOUR_CALM, and the end."""
        if not self.closed:
            self.h2.send_goaway(ENHANCE_YOUR_CALM, debug_data=debug.encode())
            self.end(f"the peer asked for too much: {debug}", ENHANCE_YOUR_CALM)

    def end(self, why: str, error_code: int = NO_ERROR, *, queued: bool = True) -> None:
        """Close after what is queued, with a GOAWAY of this code; every call on it ends. May be repeated."""
        if self.closed:
            return
        if self._working:
            self.loop.call_soon(partial(self.end, why, error_code, queued=queued))
            return
        self.failure = self.failure or why
        if queued:
            try:
                self.h2.terminate_connection(error_code)
            except ngh2.NGH2Error:
                pass  # never begun, or at its end already
            else:
                self._last_words()
        self.closed = True
        self.transport.close()
        self._parting = self.loop.call_later(PARTING, self.transport.abort)  # in case that the peer reads nothing
        self._bury()

    def _last_words(self) -> None:
        try:
            if not self.paused and (data := self._take()):
                self.transport.write(data)
        except ngh2.NGH2Error:
            pass

    def abort(self, why: str) -> None:
        """The peer is not there: end without waiting for it to take anything."""
        if not self.closed:
            self.failure = self.failure or why
            self.closed = True
            self.transport.abort()
            self._bury()

    def _bury(self) -> None:
        if self._greeting is not None:
            self._greeting.cancel()
        self.lost()
        for stream in list(self.waiting):
            self.release(stream)

    # ---------------------------------------------------------------- what clients and servers do differently

    @abstractmethod
    def handle(self, events: list[ngh2.Event]) -> None:
        """What the engine tells, in order."""

    def rarely(self, event: ngh2.Event) -> None:
        """Events about the connection and not a stream."""
        if isinstance(event, ngh2.SettingsReceived):
            self.greeted = True
            self.peer_headers = min(MAX_HEADERS, event.settings.get(int(ngh2.Setting.MAX_HEADER_LIST_SIZE), self.peer_headers))
            if self._greeting is not None:
                self._greeting.cancel()
                self._greeting = None
        elif isinstance(event, ngh2.ConnectionClosed):
            self.end(self.failure or f"the peer closed the connection (error {event.error_code})")

    def taken(self, *, drained: bool) -> None:
        """Bytes of the engine are about to leave. `drained`: all of them."""

    def flushed(self) -> None:
        """Everything that could leave has left."""

    @abstractmethod
    def retire(self) -> None:
        """Take no new calls, and close when the last one has ended."""

    @abstractmethod
    def lost(self) -> None:
        """It has ended, for the reason in `failure`: end all calls."""

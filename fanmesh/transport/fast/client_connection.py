"""A client's connection: its calls by stream, keepalive, and what GOAWAY means.

Resets are rationed. A dispatcher that has its answer cancels all that is still running, and servers that defend themselves
against rapid reset take hundreds of RST_STREAM at once for an attack and end the connection, with every other call on it. So
what is over the ration waits for its turn: the answers that arrive meanwhile are taken in and thrown away.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

import ngh2
from ngh2 import DataReceived, NeverIndexedHeader, ResponseReceived, StreamClosed, TrailersReceived

from fanmesh.model.fault import Code
from fanmesh.model.times import MS, SECOND
from fanmesh.runtime.clock import now_ns
from fanmesh.transport.fast import headers
from fanmesh.transport.fast.connection import Connection
from fanmesh.transport.fast.defences import MAX_FIELDS, PING_IN_QUIET, PINGS_IN_QUIET, Ration
from fanmesh.transport.fast.mapping import CANCEL, ENHANCE_YOUR_CALM, NO_ERROR, REFUSED_STREAM, name
from fanmesh.transport.port import Compression, RpcError

if TYPE_CHECKING:
    import asyncio

    from fanmesh.transport.fast.client_call import ClientCall
    from fanmesh.transport.fast.headers import Fields
    from fanmesh.transport.fast.link import Link

_SETTINGS: Final = {int(ngh2.Setting.ENABLE_PUSH): 0}
_OWN_FIELDS: Final = 1024
"""Bytes of a header list that are the protocol's own, at most."""

_AGENT: Final = b"grpc-python-fanmesh/1"

_COARSE: Final = 100 * MS
"""Timeouts from this on are sent in whole ms, of which there are few: the peer's is then later by a hundredth at most."""


def _timeout(left: int) -> NeverIndexedHeader:
    """The field of a timeout of so many ns."""
    return _timeout_of_ms(-(-left // MS)) if left >= _COARSE else NeverIndexedHeader(b"grpc-timeout", headers.timeout(left))


@lru_cache(4096)
def _timeout_of_ms(ms: int) -> NeverIndexedHeader:
    return NeverIndexedHeader(b"grpc-timeout", headers.timeout(ms * MS))


class ClientConnection(Connection):
    """One connection of a link."""

    __slots__ = (
        *(
            "_base",
            "_begun",
            "_common",
            "_draining",
            "_link",
            "_newest",
            "_pinged",
            "_pings",
            "_put_off",
            "_putting_off",
            "_reset",
            "_resets",
            "_timer",
        ),
        *("most_streams", "open_streams", "streams", "usual", "usual_encoding", "usual_end"),
    )

    def __init__(self, link: Link) -> None:
        gzip = link.options.compression is Compression.GZIP
        super().__init__(ngh2.Role.CLIENT, _SETTINGS, encrypted=link.target.tls is not None, gzip=gzip)
        self._link = link
        self._resets: Ration = link.resets
        self._reset = 0  # the last stream that the peer has reset
        self.streams: dict[int, ClientCall] = {}
        """Calls that run."""
        self.usual: Fields = ()
        """The last good response's first header block: most are equal, and need not be looked into."""
        self.usual_encoding = b"identity"
        self.usual_end: Fields = ((b"grpc-status", b"0"),)
        """The same of trailers that say OK and nothing else; gRPC's core adds an empty message."""
        scheme = b"https" if self.encrypted else b"http"
        self._base: dict[str, list[tuple[bytes, bytes]]] = {}
        self._common = [
            (b":scheme", scheme),
            (b":authority", link.target.authority.encode()),
            (b"te", b"trailers"),
            (b"content-type", b"application/grpc"),
            (b"user-agent", _AGENT),
            (b"grpc-accept-encoding", b"identity,gzip"),
            *([(b"grpc-encoding", b"gzip")] if gzip else ()),
        ]
        self.open_streams = 0
        """Those that the peer counts: of calls that run, and of calls that were given up and not reset yet."""
        self.most_streams = 2**31 - 1
        """How many it takes."""
        self._draining = False
        self._newest = 0  # stream that was opened last
        self._begun = 0  # the last one of which something has left, or may have
        self._put_off: dict[int, None] = {}  # streams that wait for their reset, in order
        self._putting_off: asyncio.TimerHandle | None = None
        self._pinged = 0
        self._pings = 0  # since something else than the answer to one came
        self._timer: asyncio.TimerHandle | None = None

    # ---------------------------------------------------------------- calls

    def open(self, call: ClientCall) -> None:
        """Begin a call. It may have ended when this returns."""
        path = call.path
        base = self._base.get(path)
        if base is None:
            base = self._base[path] = [(b":method", b"POST"), (b":path", path.encode()), *self._common]
        fields = base
        if call.deadline is not None:
            left = call.deadline - now_ns()
            if left <= 0:
                return  # its timer is due
            fields = [*base, _timeout(left)]
        if call.fields:
            fields = [*fields, *call.fields]
            if len(fields) > MAX_FIELDS or not headers.fits(call.fields, self.peer_headers - _OWN_FIELDS):
                what = f"metadata over the peer's {self.peer_headers} bytes, or over {MAX_FIELDS} fields"
                call.fail(RpcError(Code.RESOURCE_EXHAUSTED, what, sent=False))
                return
        h2 = self.h2
        try:
            stream = h2.send_request(fields)
        except ngh2.NGH2Error:
            self.retire()
            self._link.submit(call)
            return
        request = call.request
        if request is not None:
            self.send(stream, request, end_stream=True, gzip=self.gzip)
        self._newest = stream
        self.open_streams += 1
        self.streams[stream] = call
        call.begin(self, stream)
        if not self.scheduled:
            self.scheduled = True
            self.loop.call_soon(self.flush)

    def unsent(self, stream: int) -> bool:
        """Whether nothing of this stream has been given to the socket."""
        return stream > self._begun

    def taken(self, *, drained: bool) -> None:
        """Which stream was the last to begin: they do in order, and all of those that may before the messages of any."""
        if drained:
            self._begun = self._newest
        elif self._begun < self._newest:
            for stream in sorted(self.streams, reverse=True):
                if stream <= self._begun or self._exists(stream):
                    self._begun = max(stream, self._begun)
                    break

    def _exists(self, stream: int) -> bool:
        """Whether the engine has begun to send the stream's header block. One that cannot say may have."""
        try:
            self.h2.stream_remote_window_size(stream)
        except ngh2.StreamUnavailableError:
            return False
        except ngh2.NGH2Error:
            return True
        return True

    def abandon(self, call: ClientCall) -> None:
        """Nobody waits for this call: reset its stream as soon as the ration allows."""
        stream = call.stream
        if self.streams.pop(stream, None) is None or self.closed:
            return
        self.release(stream)
        if self.unsent(stream) or (not self._put_off and self._resets.take(now_ns())):
            self.reset(stream, CANCEL)
        else:
            self._put_off[stream] = None
            self._later()
        self._close_if_drained()

    def _later(self) -> None:
        if self._putting_off is None and self._put_off:
            self._putting_off = self.loop.call_later(max(self._resets.wait(now_ns()), 0.005), self._catch_up)

    def _catch_up(self) -> None:
        self._putting_off = None
        while self._put_off and not self.closed and self._resets.take(now_ns()):
            stream = next(iter(self._put_off))
            del self._put_off[stream]
            self.reset(stream, CANCEL)
        if not self.closed:
            self._later()

    # ---------------------------------------------------------------- events

    def handle(self, events: list[ngh2.Event]) -> None:
        """Give frames to their calls. There are twenty for a fan-out of five, of types without subclasses."""
        streams = self.streams
        for event in events:
            if type(event) is DataReceived:
                self._pings = 0
                call = streams.get(event.stream_id)
                if call is not None:
                    call.received(event.data)
                    if event.end_stream and streams.get(event.stream_id) is call:  # without trailers, and not refused for it
                        self._over(call)
                        call.aborted(NO_ERROR, None, by_peer=True)
                else:
                    self.acknowledge(len(event.data), event.stream_id)
            elif type(event) is ResponseReceived:
                self._pings = 0
                call = streams.get(event.stream_id)
                if call is not None:
                    if event.end_stream:
                        self._over(call)
                    call.responded(event.headers, end=event.end_stream)
            elif type(event) is TrailersReceived:
                call = streams.get(event.stream_id)
                if call is not None:
                    self._over(call)
                    call.ended(event.headers)
            elif type(event) is StreamClosed:
                self.open_streams -= 1
                call = streams.pop(event.stream_id, None)
                if call is not None:
                    self.release(event.stream_id)
                    if event.local_error is not None and event.error_code == REFUSED_STREAM and call.request is not None:
                        call.connection = None
                        self._link.submit(call)  # a GOAWAY came before it could leave
                    else:
                        call.aborted(event.error_code, event.local_error, by_peer=event.stream_id == self._reset)
                elif self._put_off:
                    self._put_off.pop(event.stream_id, None)
                if self._draining:
                    self._close_if_drained()
                elif self._link.waiting:
                    self._link.admit()
            else:
                self.rarely(event)

    def _over(self, call: ClientCall) -> None:
        """The peer has said its last word. It should end a stream itself that we have not; if it does not, we do."""
        stream = call.stream
        del self.streams[stream]
        if self.waiting:
            self.release(stream)
        if call.writable or self.h2.queued_body_size(stream):
            self._put_off[stream] = None
            self._later()

    def rarely(self, event: ngh2.Event) -> None:
        """GOAWAY, and what servers hear as well."""
        if isinstance(event, ngh2.GoAwayReceived):
            self.failure = f"the peer goes away: {name(event.error_code)} {event.debug_data.decode(errors='replace')}".rstrip()
            if event.error_code == ENHANCE_YOUR_CALM:
                self._resets.halve()
            self.retire()
            return
        if isinstance(event, ngh2.StreamReset):
            self._reset = event.stream_id  # what the engine resets itself is closed without this
            return
        super().rarely(event)
        if isinstance(event, ngh2.SettingsReceived):
            self.most_streams = event.settings.get(int(ngh2.Setting.MAX_CONCURRENT_STREAMS), self.most_streams)
            self._link.greeted(self)
            if self._link.connection is self:
                self._link.admit()  # it may take more now

    # ---------------------------------------------------------------- its own life

    def keep_alive(self, every: float, timeout: float) -> None:
        """Ask a peer for a sign of life while calls wait for it and nothing comes. Seconds. More rarely when it stays quiet."""
        now = now_ns()
        often = every if self._pings < PINGS_IN_QUIET else max(every, PING_IN_QUIET)
        wait = often - (now - self.heard) / SECOND
        if self.heard < self._pinged:  # no answer yet
            wait = timeout - (now - self._pinged) / SECOND
            if wait <= 0:
                self.abort(f"no sign of life for {every + timeout:g} s")
                return
        elif wait <= 0 and self.streams:
            self._pinged = now
            self._pings += 1
            self.h2.ping()
            self.schedule()
            wait = min(every, timeout)
        self._timer = self.loop.call_later(min(wait, every) if wait > 0 else every, self.keep_alive, every, timeout)

    def ensure_open(self) -> None:
        """ConnectionError if it takes no calls: the peer may say goodbye together with its greeting."""
        if self._draining or self.closed:
            raise ConnectionError(self.failure)

    def retire(self) -> None:
        """No new calls; closed when the last one has ended."""
        if not self._draining:
            self._draining = True
            self._link.retired(self)
            self._close_if_drained()

    def _close_if_drained(self) -> None:
        if self._draining and not self.streams:
            self.end(self.failure or "no call is left on it")

    def lost(self) -> None:
        """End all calls, and tell the link."""
        for timer in (self._timer, self._putting_off):
            if timer is not None:
                timer.cancel()
        calls = list(self.streams.values())
        self.streams.clear()
        why = f"the connection to {self._link.address} ended: {self.failure}"
        for call in calls:
            call.lost(why)
        self._link.retired(self)

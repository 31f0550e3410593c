"""How much of what a peer may do, and how much we may do to a peer. Numbers and one bucket; pure.

The engine (libnghttp2) refuses what is malformed. What is well-formed and still an attack is a matter of amounts, and those are
here, with what each is against.
"""

from __future__ import annotations

from typing import Final

from fanmesh.model.times import SECOND

KIB: Final = 1024

STREAM_WINDOW: Final = 512 * KIB
"""Bytes of a stream that are taken in before somebody reads them."""

CONNECTION_WINDOW: Final = 2**31 - 1
"""Open as far as HTTP/2 allows: a stream that nobody reads must hold up itself and no other one."""

CONNECTION_LEAST: Final = 2**29
"""A connection whose window is smaller is replaced. The engine forgets the bytes of a DATA frame that was half there when its
stream was reset, up to 16 KiB each time, and never opens the window for them again (see docs/transport.md)."""

MAX_STREAMS: Final = 1024
"""Calls at once on one connection; a client's further ones wait on its side."""

MAX_HEADERS: Final = 64 * KIB
MAX_FIELDS: Final = 256
MAX_CONTINUATIONS: Final = 8
"""Of one header block, decoded: against header bombs and endless CONTINUATION frames. Beyond: the connection ends."""

GREETING: Final = 10.0
"""Seconds from the connection to the peer's SETTINGS."""

IDLE_PING: Final = 60.0
IDLE_ANSWER: Final = 20.0
"""Seconds of silence after which a server asks whether its client is there, and for the answer: against half-open peers."""

PINGS_IN_QUIET: Final = 2
PING_IN_QUIET: Final = 330.0
"""A client's pings in a row, without a message or headers from the server between them, and the seconds to each further one.
Servers of grpc-go, grpc-java and gRPC's core say ENHANCE_YOUR_CALM, too_many_pings, and hang up after the third ping that comes
less than five minutes after another, counted since they last sent something; as a client the core stops after two, too."""

LINGER: Final = 60.0
"""Seconds in which some of a finished answer must have left: against callers that ask for much and read nothing."""

PEER_RESETS: Final = (5000, 1000)
"""Streams that a client may reset before they are answered: at once, and per second. Against rapid reset (CVE-2023-44487)
and MadeYouReset (CVE-2025-8671): those that our engine must reset count, too. A dispatcher that hedges and cancels much and
has no ration of its own stays below."""

PEER_CONTROL: Final = (1000, 100)
"""PING, SETTINGS and empty DATA frames between two frames that carry something: at once, and per second."""

OUR_RESETS: Final = ((100, 200), (900, 30))
"""Streams that a client resets: at once, and per second; both must allow it. The rest of a mass cancellation waits its turn,
its answers unread. Servers built on Rust's h2 answer some 200 at once with GOAWAY ENHANCE_YOUR_CALM, after which half of it
holds; those on libnghttp2, Node among them, allow 1000 at once and 33 a second, and then hang up with INTERNAL_ERROR."""

PARTING: Final = LINGER
"""Seconds in which a connection that ends must have given its last bytes to the peer; then it is cut off."""

HIGH_WATER: Final = 64 * KIB
"""Bytes of a stream that wait for the peer's window; above it a writer waits, too."""

CHUNK: Final = 64 * KIB
"""Bytes that are asked of the engine at once: more is collected in a buffer that outgrows the processor's caches."""

HELD_BACK: Final = 256 * KIB
"""Bytes that the socket may hold back before the engine is asked no more."""

LARGE: Final = 16 * KIB
"""Messages from this size on are handed over without being copied behind their head."""


class Bucket:
    """A token bucket. `burst` at once, `rate` per second."""

    __slots__ = ("_at", "_left", "burst", "rate")

    def __init__(self, burst: float, rate: float) -> None:
        self.burst = burst
        self.rate = rate
        self._left = float(burst)
        self._at: int | None = None

    def take(self, now: int) -> bool:
        """Whether one more is within the limit at `now` (nanoseconds)."""
        self._fill(now)
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def wait(self, now: int) -> float:
        """Seconds until `take` would say yes; 0 if it would now."""
        self._fill(now)
        return 0.0 if self._left >= 1 else (1 - self._left) / self.rate

    def halve(self) -> None:
        """Be more careful from now on, down to one at once and one per second."""
        self.burst = max(1.0, self.burst / 2)
        self.rate = max(1.0, self.rate / 2)
        self._left = min(self._left, self.burst)

    def _fill(self, now: int) -> None:
        if self._at is not None:
            self._left = min(self.burst, self._left + (now - self._at) / SECOND * self.rate)
        self._at = now


class Ration:
    """Several token buckets that must all agree."""

    __slots__ = ("buckets",)

    def __init__(self, *limits: tuple[float, float]) -> None:
        self.buckets = tuple(Bucket(burst, rate) for burst, rate in limits)

    def take(self, now: int) -> bool:
        """Whether one more is within every limit at `now` (nanoseconds)."""
        return self.wait(now) <= 0 and all(bucket.take(now) for bucket in self.buckets)

    def wait(self, now: int) -> float:
        """Seconds until `take` would say yes; 0 if it would now."""
        return max(bucket.wait(now) for bucket in self.buckets)

    def halve(self) -> None:
        """Be more careful from now on."""
        for bucket in self.buckets:
            bucket.halve()

"""What a stream is still to be told: one slot for each kind of message, and so never a queue that grows.

A dispatcher that reads slowly must not fill this process's memory, and does not want what it missed: of acknowledgements,
alarms and snapshots only the newest says anything. Pure; times are ns of any clock.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from fanmesh.eventlog import encode_ack, encode_effect
from fanmesh.model.events import Arm, Effect, Result, Update, Verdict
from fanmesh.model.states import AlarmKind
from fanmesh.model.times import MS
from fanmesh.payload import PayloadError

ACK_WITHIN: Final = 20 * MS
"""An acknowledgement may wait this long for further events. A write costs more than a fold, and a dispatcher is patient for at
least 100 ms; a request that completes sooner needs none."""


PACE: Final = 64 * 1024, 2 * MS
"""For so many bytes of a snapshot the next one waits so long; after a small one none does. Making one, and reading it at the
other end, takes the longer the larger it is: without a pace, an aggregator would do little else during a long stream."""


class Outbox:
    """One stream. `min_interval`: shortest time between two snapshots; the last one, which is the result, never waits."""

    __slots__ = ("_ack", "_ack_by", "_arms", "_final", "_update", "_update_from", "closed", "min_interval")

    def __init__(self) -> None:
        self.min_interval = 0
        self.closed = False
        self._ack = 0
        self._ack_by = 0
        self._arms: dict[AlarmKind, Arm] = {}
        self._update: Update | None = None
        self._update_from = 0
        self._final: deque[bytes] = deque()

    def ack(self, seq: int, now: int) -> bool:
        """Everything up to `seq` has been folded. Whether whoever sends must look at `due` again."""
        first = not self._ack
        if first:
            self._ack_by = now + ACK_WITHIN
        self._ack = seq
        return first

    def put(self, effect: Effect) -> None:
        """Take an effect. A verdict and a result are written down now: they do not change. PayloadError if it is no JSON."""
        match effect:
            case Arm(kind):
                self._arms[kind] = effect
            case Update():
                self._update = effect
            case Verdict() | Result():
                self._final.append(encode_effect(effect))
                self._ack = 0
                self._arms.clear()

    @property
    def size(self) -> int:
        """Bytes of what can no longer be replaced."""
        return sum(map(len, self._final))

    def take(self, now: int) -> bytes | None:
        """The next message to be sent at `now`, or None. After the result, which is the last one, it is `closed`."""
        if self._arms:
            return encode_effect(self._arms.pop(next(iter(self._arms))))
        if self._ack and now >= self._ack_by:
            seq, self._ack = self._ack, 0
            return encode_ack(seq)
        if self._update is not None and (self._final or now >= self._update_from):
            update, self._update = self._update, None
            self._update_from = now + self.min_interval
            try:
                message = encode_effect(update)
            except PayloadError:
                pass  # a snapshot that cannot be written is left out; if it is the result too, that one says so
            else:
                self._update_from = now + max(self.min_interval, len(message) // PACE[0] * PACE[1])
                return message
        if self._final:
            message = self._final.popleft()
            self.closed = not self._final
            return message
        return None

    def due(self) -> int | None:
        """When there will be something to take although nothing happens; None = never."""
        times = [self._ack_by] * bool(self._ack) + [self._update_from] * (self._update is not None)
        return min(times, default=None)

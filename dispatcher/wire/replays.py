"""Requests with an idempotency key: one run for all who ask for it, and its reply for those who ask again.

The run is a task of its own and not the first caller's coroutine: whoever began it may hang up while others wait for it. When
the last one has gone it is cancelled, as any request is whose caller has gone, and the key is free again; unless it has sent a
write. Then it goes on to its end within its own time, and its reply is kept: whoever has lost the connection and asks again
with the key wants to know how it ended, and must not have it done twice (decision 0028).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from hashlib import blake2b
from operator import itemgetter
from typing import Any, Final

from dispatcher.flow.ports import Clock, Reaper
from dispatcher.flow.underway import Underway
from dispatcher.model.policy import IdempotencyRule
from dispatcher.policies.idempotency import Begin, Entry, Join, Keys, No, Replay
from dispatcher.wire.outbound import Finished
from fanmesh.model.times import SECOND
from fanmesh.transport.port import Metadata
from fanmesh.v1 import dispatcher_pb2

ENTRY: Final = 512
"""Bytes that an entry takes beside its reply and its key."""

SPARE: Final = SECOND
"""A run that goes on without a caller ends by itself, within its own time; this much later it is cancelled all the same."""

Story = Callable[[Underway], Coroutine[Any, Any, Finished]]


class Shared:
    """A run, and how many wait for it. `detached`: it has gone on without anybody."""

    __slots__ = ("detached", "entry", "task", "underway", "waiting")

    def __init__(self, entry: Entry[Shared | Finished], task: asyncio.Task[Finished], underway: Underway) -> None:
        self.entry = entry
        self.task = task
        self.underway = underway
        self.waiting = 0
        self.detached = False


class Ticket:
    """One caller's share in a run; `with` it. `joined`: somebody else began the run."""

    __slots__ = ("_replays", "_shared", "joined")

    def __init__(self, replays: Replays, shared: Shared, joined: bool) -> None:  # noqa: FBT001  (made in one place)
        self._replays = replays
        self._shared = shared
        self.joined = joined

    @property
    def task(self) -> asyncio.Task[Finished]:
        """The run. Awaiting it directly would cancel it with its awaiter: use `asyncio.wait`."""
        return self._shared.task

    def __enter__(self) -> None:
        self._shared.waiting += 1

    def __exit__(self, *_: object) -> None:
        self._shared.waiting -= 1
        if not self._shared.waiting:
            self._replays.abandon(self._shared)


class Replays:
    """The keys of one process. `rule` gives the one in force."""

    def __init__(self, rule: Callable[[], IdempotencyRule], clock: Clock, reaper: Reaper) -> None:
        self._rule = rule
        self._clock = clock
        self._reaper = reaper
        self._keys: Keys[Shared | Finished] = Keys()

    @property
    def running(self) -> int:
        """How many keyed requests run."""
        return self._keys.running

    @property
    def kept(self) -> int:
        """How many replies are remembered."""
        return self._keys.kept

    @property
    def kept_bytes(self) -> int:
        """How large they are together, about."""
        return self._keys.kept_bytes

    def claim(self, key: str, body: bytes, story: Story) -> Ticket | Finished | No:
        """A share in the run of this key, which `story` begins if there is none; the reply it had; or why not."""
        match self._keys.claim(self._rule(), key, body, self._clock.now()):
            case Begin(entry):
                underway = Underway()
                shared = entry.held = Shared(entry, asyncio.ensure_future(self._own(entry, story, underway)), underway)
                return Ticket(self, shared, joined=False)
            case Join(Entry(held=Shared() as shared)):
                return Ticket(self, shared, joined=True)
            case Replay(Entry(held=Finished() as finished)):
                return finished
            case No() as no:
                return no
            case other:
                raise AssertionError(f"an entry that holds nothing: {other}")

    def abandon(self, shared: Shared) -> None:
        """Nobody waits for it any more: if it still runs, cancel it, or let it go on if it has sent a write."""
        if shared.task.done():
            return
        if shared.underway.give_up():
            self._keys.ended(self._rule(), shared.entry, self._clock.now(), keep=False)
            shared.task.cancel()
            self._reaper.adopt([shared.task])
        elif not shared.detached:
            shared.detached = True
            self._reaper.detach(shared.task, self._clock, shared.underway.end + SPARE)

    async def _own(self, entry: Entry[Shared | Finished], story: Story, underway: Underway) -> Finished:
        keep, size = False, 0
        try:
            finished = await story(underway)
            keep, size = finished.keep, size_of(entry.key, finished)
            entry.held = finished
            return finished
        finally:
            self._keys.ended(self._rule(), entry, self._clock.now(), keep=keep, size=size)


def size_of(key: str, finished: Finished) -> int:
    """About how many bytes it takes to keep a reply: as it is sent, and with the report beside a status a second time."""
    report = 0 if finished.report is None else finished.response.report.ByteSize()
    return len(key) + finished.response.ByteSize() + report + ENTRY


def body_of(message: dispatcher_pb2.DispatchRequest, metadata: Metadata = ()) -> bytes:
    """A digest of what makes it this request: all of the message but the key and the form in which a failure is told.

    And the `metadata` that workers are told, such as `authorization`: who asks with another one must not be given what a worker
    said to the first. Of the bytes, not of their meaning: JSON with other white space is another body, which is an error and
    never a wrong reply.
    """
    plain = dispatcher_pb2.DispatchRequest()
    plain.CopyFrom(message)
    plain.idempotency_key = ""
    plain.failure_in_message = False
    digest = blake2b(plain.SerializeToString(deterministic=True), digest_size=16)
    for key, value in sorted(metadata, key=itemgetter(0)):  # gRPC keeps no order between different keys
        told = value if isinstance(value, bytes) else value.encode()
        digest.update(b"%d:%d:" % (len(key), len(told)) + key.encode() + told)
    return digest.digest()

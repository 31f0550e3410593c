"""What a remote merge was told, kept for a replay, and what it is still to be told.

One structure and not a log beside a queue: a REPLACE part makes the earlier parts of its branch worthless in both, and they
must agree on which. An event that is in neither was superseded; its number stays unused, which the protocol allows. Where a
part can complete the request none is worthless: there every part is kept, and waits for room like an appended one.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, NamedTuple

from fanmesh.model.events import End, Event, Happening, PartArrived
from fanmesh.transport.port import MIB

QUEUE_LIMIT: Final = MIB
LOG_LIMIT: Final = 16 * MIB


class _Part(NamedTuple):
    attempt: int
    part_seq: int
    seq: int


class Backlog:
    """The events of one request. Sizes are bytes on the wire.

    `queued`: what waits to be sent. It may exceed the limit by what cannot wait: endings, alarms, and one part per branch.
    `size`: what a replay would fold. `conflates`: a REPLACE part takes the place of the parts before it.
    """

    __slots__ = ("_log", "_log_limit", "_parts", "_queue", "_queue_limit", "conflates", "queued", "size")

    def __init__(self, queue_limit: int = QUEUE_LIMIT, log_limit: int = LOG_LIMIT) -> None:
        self.conflates = True
        self._queue_limit = queue_limit
        self._log_limit = log_limit
        self._log: dict[int, tuple[Event, int]] = {}
        self._queue: OrderedDict[int, bytes] = OrderedDict()
        self._parts: dict[tuple[str, int | None], list[_Part]] = {}  # by branch and item
        self.queued = 0
        self.size = 0

    @property
    def full(self) -> bool:
        """Whether streams whose parts are all kept have to wait."""
        return self.queued > self._queue_limit

    def keeps(self, what: Happening) -> bool:
        """Whether it is a part that no later one will take the place of while it waits."""
        return isinstance(what, PartArrived) and not (what.replace and self.conflates)

    def add(self, event: Event, data: bytes) -> bool:
        """Take an event and its bytes. False: the log would be over its limit, and nothing was changed."""
        superseded = self._superseded(event.what) if isinstance(event.what, PartArrived) else []
        size = self.size - sum(self._log[part.seq][1] for part in superseded) + len(data)
        if size > self._log_limit:
            return False
        for part in superseded:
            del self._log[part.seq]
            self.queued -= len(self._queue.pop(part.seq, b""))
        self.size = size
        self._log[event.seq] = event, len(data)
        self._queue[event.seq] = data
        self.queued += len(data)
        self._note(event, superseded)
        return True

    def take(self) -> tuple[int, bytes] | None:
        """The next message to send, with the seq of its event, or None."""
        if not self._queue:
            return None
        seq, data = self._queue.popitem(last=False)
        self.queued -= len(data)
        return seq, data

    def unsend(self) -> None:
        """What was not sent need not be: the verdict is known."""
        self._queue.clear()
        self.queued = 0

    def replay(self) -> list[Event]:
        """The log; afterwards everything is empty."""
        events = [event for event, _ in self._log.values()]
        self.forget()
        return events

    def forget(self) -> None:
        """Nobody will ask again."""
        self.unsend()
        self._log.clear()
        self._parts.clear()
        self.size = 0

    def _superseded(self, part: PartArrived) -> list[_Part]:
        """The parts that nobody misses once `part` is there. A part of an older attempt replaces nothing newer."""
        if not part.replace or not self.conflates:
            return []
        place = part.attempt, part.part_seq
        return [old for old in self._parts.get((part.branch, part.item), ()) if (old.attempt, old.part_seq) < place]

    def _note(self, event: Event, superseded: list[_Part]) -> None:
        match event.what:
            case PartArrived(branch=branch, item=item, attempt=attempt, part_seq=number):
                kept = self._parts.setdefault((branch, item), [])
                if superseded:
                    gone = {old.seq for old in superseded}
                    kept[:] = [old for old in kept if old.seq not in gone]
                kept.append(_Part(attempt, number, event.seq))
            case End(branch=branch, item=item):
                self._parts.pop((branch, item), None)
            case _:
                pass

"""The answers of one branch that are kept: which may be given again, which may stand in for a failure, which make room.

| age of the answer | who asks | whose call has failed |
|---|---|---|
| < ttl | hit | hit |
| < ttl + stale | miss | stands in |
| beyond, or there is none | miss | nothing |

Bounded twice, by entries and by bytes, because either alone can be had for nothing: a million answers of two bytes, or ten of
eight megabytes. The one that was not asked for the longest makes room (LRU); an answer larger than everything together is not
kept. There is no timer: what is past all use is dropped when somebody asks or stores next, oldest first.

Faults are never kept. An error that is remembered outlives its cause, and who retries a failure is the attempts' business.

Source of the second row: `stale-if-error` of RFC 5861. Pure: times in ns, keys are digests.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, NamedTuple

from dispatcher.model.caching import CacheRule, Kept
from dispatcher.policies.worth import OF_THE_REQUEST
from fanmesh.model.fault import Fault, Origin


class Found(NamedTuple):
    """An answer, and its age in ns."""

    kept: Kept
    age: int


class Store:
    """The answers of one branch, by key. `bytes`: their sizes together."""

    __slots__ = ("_by_age", "_by_use", "_rule", "bytes")

    def __init__(self, rule: CacheRule) -> None:
        self._rule = rule
        self._by_use: OrderedDict[bytes, tuple[Kept, int]] = OrderedDict()  # with the time of storing; used last, last
        self._by_age: OrderedDict[bytes, int] = OrderedDict()  # the same keys; stored last, last
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._by_use)

    def fresh(self, key: bytes, now: int) -> Found | None:
        """The answer that may be given again. Asking for it keeps it from making room."""
        self._expire(now)
        return self._found(key, now, self._rule.ttl)

    def stand_in(self, key: bytes, now: int) -> Found | None:
        """The answer that may be given although the call has failed; a fresh one, if there is one by now."""
        rule = self._rule
        return self._found(key, now, rule.ttl + rule.stale)

    def store(self, key: bytes, kept: Kept, now: int) -> None:
        """Keep an answer in the place of an older one, unless it is of no use, or larger than all that may be kept."""
        self._expire(now)
        self.drop(key)
        rule, size = self._rule, kept.size
        if rule.ttl + rule.stale <= 0 or size > rule.size:
            return
        while len(self._by_use) >= rule.entries or self.bytes + size > rule.size:
            self.drop(next(iter(self._by_use)))
        self._by_use[key] = kept, now
        self._by_age[key] = now
        self.bytes += size

    def drop(self, key: bytes) -> None:
        """Forget the answer, if there is one."""
        held = self._by_use.pop(key, None)
        if held is not None:
            del self._by_age[key]
            self.bytes -= held[0].size

    def _found(self, key: bytes, now: int, within: int) -> Found | None:
        held = self._by_use.get(key)
        if held is None or now - held[1] >= within:
            return None
        self._by_use.move_to_end(key)
        return Found(held[0], now - held[1])

    def _expire(self, now: int) -> None:
        """Drop what has no use any more."""
        most = self._rule.ttl + self._rule.stale
        while self._by_age:
            key = next(iter(self._by_age))
            if now - self._by_age[key] < most:
                return
            self.drop(key)


INCOMPLETE: Final = ("fanmesh-complete", "false")
"""The label with which a worker that is a dispatcher itself says that something is missing in its answer."""


def whole(kept: Kept) -> bool:
    """Whether nothing is missing in an answer, as far as its worker says. Of one that is not, a later call may have more."""
    name, no = INCOMPLETE
    return kept.labels is None or kept.labels.get(name) != no


def may_stand_in(fault: Fault) -> bool:
    """Whether an old answer may be given in the place of this failure.

    Not for one that says something of the request: that it asks for what is gone, or for what this caller may not see, is an
    answer, and newer than the one that is kept.
    """
    return fault.code not in OF_THE_REQUEST


def disproves(fault: Fault) -> bool:
    """Whether it is the worker's newer word under this key, so that the older answer must not stand in later either."""
    return fault.code in OF_THE_REQUEST and fault.origin is Origin.WORKER

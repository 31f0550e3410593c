"""What a request with an idempotency key finds: nothing, its twin at work, its twin's reply, or somebody else's request.

The key is taken as the caller gave it: callers that share a dispatcher share its keys, so a key should be unguessable and
belong to one operation (a UUID does). Per process: a second dispatcher behind the same address does not know it. The contract
is that of Stripe's Idempotency-Key and the IETF draft of that name: one key, one body; another body is the caller's error and
never a new run.

| state of the key | same body | another body | ended, to be kept | ended, to be forgotten |
|---|---|---|---|---|
| unknown | begin → running | begin → running | – | – |
| running | join | reused | → kept for `ttl` | → unknown |
| kept | replay | reused | – | – |
| kept, past its `ttl` | begin → running | begin → running | – | – |

Bounded by `most` entries and `most_bytes` of replies: the oldest kept one makes room, a running one never does. Entries alone
would be no bound of memory, as one reply may be a thousand times another; a reply that is larger than all the room there is is
told to those who wait for it, and not kept.

Pure: what stands behind an entry (`held`: the run, later its reply) belongs to the caller. Times in ns.
"""

from __future__ import annotations

from enum import Enum, unique
from typing import Generic, NamedTuple, TypeAlias, TypeVar

from dispatcher.model.policy import IdempotencyRule

H = TypeVar("H")


class Entry(Generic[H]):
    """One key. `held` is for whoever claims it: set it before anybody else can claim. `until`, `size` count once it is kept."""

    __slots__ = ("body", "held", "key", "size", "until")

    def __init__(self, key: str, body: bytes) -> None:
        self.key = key
        self.body = body
        self.until = 0
        self.size = 0
        self.held: H | None = None


class Begin(NamedTuple, Generic[H]):
    """Run it, and say when it has ended."""

    entry: Entry[H]


class Join(NamedTuple, Generic[H]):
    """It runs already: wait for it."""

    entry: Entry[H]


class Replay(NamedTuple, Generic[H]):
    """It has been answered: say the same again."""

    entry: Entry[H]


@unique
class No(Enum):
    """Why a key cannot be claimed."""

    REUSED = "reused"  # another body has it
    FULL = "full"  # as many as may be remembered still run


Claim: TypeAlias = Begin[H] | Join[H] | Replay[H] | No


class Keys(Generic[H]):
    """The keys of one process."""

    __slots__ = ("_kept", "_running", "kept_bytes")

    def __init__(self) -> None:
        self._running: dict[str, Entry[H]] = {}
        self._kept: dict[str, Entry[H]] = {}  # in the order in which they ended
        self.kept_bytes = 0

    @property
    def running(self) -> int:
        """How many run."""
        return len(self._running)

    @property
    def kept(self) -> int:
        """How many replies are remembered; some of them may be past their time."""
        return len(self._kept)

    def claim(self, rule: IdempotencyRule, key: str, body: bytes, now: int) -> Claim[H]:
        """What to do with a request of this key; `body` is a digest of everything that makes it this request."""
        running = self._running.get(key)
        if running is not None:
            return Join(running) if running.body == body else No.REUSED
        self._expire(now)
        kept = self._kept.get(key)
        if kept is not None:
            if now < kept.until:
                return Replay(kept) if kept.body == body else No.REUSED
            self._drop(kept)
        if not self._room(rule):
            return No.FULL
        entry = self._running[key] = Entry[H](key, body)
        return Begin(entry)

    def ended(self, rule: IdempotencyRule, entry: Entry[H], now: int, *, keep: bool, size: int = 0) -> None:
        """The run of `entry` is over; `keep` its reply of `size` bytes for `rule.ttl`, or forget the key.

        Nothing, if it was ended before.
        """
        if self._running.get(entry.key) is not entry:
            return
        del self._running[entry.key]
        if not keep or rule.ttl <= 0 or size > rule.most_bytes:
            return
        self._shrink(rule.most_bytes - size)
        entry.until = now + rule.ttl
        entry.size = size
        self._kept[entry.key] = entry
        self.kept_bytes += size

    def _expire(self, now: int) -> None:
        while self._kept and (oldest := next(iter(self._kept.values()))).until <= now:
            self._drop(oldest)

    def _room(self, rule: IdempotencyRule) -> bool:
        """Make room for one more; whether there is."""
        self._shrink(rule.most_bytes)  # a reload may have lowered it
        while len(self._running) + len(self._kept) >= rule.most and self._kept:
            self._drop(next(iter(self._kept.values())))
        return len(self._running) < rule.most

    def _shrink(self, most: int) -> None:
        """Keep no more bytes than these."""
        while self.kept_bytes > most:
            self._drop(next(iter(self._kept.values())))

    def _drop(self, entry: Entry[H]) -> None:
        del self._kept[entry.key]
        self.kept_bytes -= entry.size

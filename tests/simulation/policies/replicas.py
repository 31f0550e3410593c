"""Replicas that are well for a while and then are not: little state machines on virtual time, each with its own dice.

What one does in a call depends on its mood at that moment, and, if it is overloaded, on how many calls it has. Everything that
it sees is told to the ledger, which knows nothing of what the engine thinks that it did.
"""

from __future__ import annotations

import asyncio
import random
from bisect import bisect_right
from dataclasses import dataclass
from enum import Enum, unique
from typing import Protocol

from dispatcher.flow.ports import Clock
from dispatcher.layers.types import Attempt, Sink
from fanmesh.model.fault import Code, Fault, FaultKind, Origin
from fanmesh.model.outcome import Outcome, Success
from fanmesh.model.states import AttemptKind
from fanmesh.testing import FakeWorker, Script, ends, fails, hangs, ms, rubbish, streams
from tests.kit.plans import gives


@unique
class Mood(Enum):
    """How a replica is."""

    HEALTHY = "healthy"
    SLOW = "slow"  # ten times as slow
    DYING = "dying"  # nobody listens at its address
    FLAPPING = "flapping"  # there and not there, every few seconds
    LYING = "lying"  # fails at once, or answers rubbish
    OVERLOADED = "overloaded"  # the more calls the slower, and some are sent away
    HANGING = "hanging"  # never answers


ILL = tuple(mood for mood in Mood if mood is not Mood.HEALTHY)


@unique
class How(Enum):
    """How a call ended, as the replica saw it."""

    RUNS = "runs"
    ANSWERED = "answered"
    FAILED = "failed"
    UNSENT = "unsent"  # nobody was there to see it
    CUT = "cut"  # cancelled, because the attempt's own time was over
    CANCELLED = "cancelled"


@dataclass(slots=True, eq=False)
class Served:
    """One attempt, as the replica saw it. Times are virtual ns; `ended` −1 = it runs."""

    request: str
    branch: str
    worker: str
    endpoint: str
    number: int
    kind: AttemptKind
    began: int
    ended: int = -1
    how: How = How.RUNS
    fault: Fault | None = None

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self.ended < 0


class Books(Protocol):
    """Who is told."""

    def begin(self, attempt: Attempt, replica: Replica) -> Served:
        """An attempt is here."""
        ...

    def end(self, served: Served) -> None:
        """It is over."""
        ...


@dataclass(frozen=True)
class Life:
    """What a replica is going to be: moods and since when, the pace in ns, and how many calls it can stand at once."""

    since: tuple[int, ...]
    moods: tuple[Mood, ...]
    pace: int
    stands: int
    seed: int

    def mood(self, now: int) -> Mood:
        """How it is now."""
        return self.moods[bisect_right(self.since, now) - 1]


class Replica(FakeWorker):
    """One endpoint. `strict`: in time of trouble even a healthy one refuses a request now and then, because of the request."""

    def __init__(self, name: str, life: Life, clock: Clock, books: Books, *, streams: bool, strict: bool) -> None:
        super().__init__(name, clock=clock)
        self.life = life
        self._dice = random.Random(life.seed)  # noqa: S311  (a simulation)
        self._books = books
        self._streams = streams
        self._strict = strict
        self._time = clock

    async def call(self, attempt: Attempt, sink: Sink) -> Outcome:
        """Serve as the mood is, and say what came of it."""
        served = self._books.begin(attempt, self)
        self.scripts = (self._script(),)
        try:
            outcome = await super().call(attempt, sink)  # takes its script before anything else can run
            self._note(served, outcome)
        except asyncio.CancelledError:
            served.how = How.CANCELLED
            raise
        else:
            return outcome
        finally:
            served.ended = self._time.now()
            self._books.end(served)

    @staticmethod
    def _note(served: Served, outcome: Outcome) -> None:
        if isinstance(outcome, Success):
            served.how = How.ANSWERED
        else:
            timeout = outcome.kind is FaultKind.LOCAL_TIMEOUT
            served.how, served.fault = How.CUT if timeout else How.FAILED if outcome.sent else How.UNSENT, outcome

    def _script(self) -> Script:
        """What it does in this call."""
        dice, now, pace = self._dice, self._time.now(), self._latency()
        if self._strict and now < self.life.since[-1] and dice.random() < 0.01:
            return fails(dice.choice([Code.INVALID_ARGUMENT, Code.NOT_FOUND]), "the request is wrong", after=pace)
        match self.life.mood(now):
            case Mood.HEALTHY:
                return self._answers(pace)
            case Mood.SLOW:
                return self._answers(10 * pace)
            case Mood.DYING:
                return gives(unsent(), after=dice.choice([0, 0, ms(1), ms(15)]))
            case Mood.FLAPPING:
                there = now // ms(2500) % 2
                return self._answers(pace) if there else fails(after=dice.choice([0, pace]))
            case Mood.LYING:
                return dice.choice([fails("INTERNAL", after=ms(1)), fails("UNKNOWN"), rubbish(after=ms(2)), self._breaks(pace)])
            case Mood.OVERLOADED if self.running >= self.life.stands:
                asks = dice.choice([None, -1, 0, 20, 150])
                return gives(Fault.resource_exhausted("too many", asks), after=ms(1))
            case Mood.OVERLOADED:
                return self._answers(pace * (1 + self.running))
            case Mood.HANGING:
                return hangs()

    def _latency(self) -> int:
        """Around the pace, seldom much more: its logarithm is normal."""
        return int(self.life.pace * self._dice.lognormvariate(0.0, 0.3))

    def _answers(self, after: int) -> Script:
        if not self._streams:
            return ends({"from": self.name}, after=after)
        count = self._dice.randint(1, 3)
        return streams(self._parts(count), every=after // count)

    def _breaks(self, after: int) -> Script:
        """A stream that breaks, or a call that fails late."""
        if not self._streams:
            return fails("INTERNAL", after=after)
        count = self._dice.randint(0, 2)
        return streams(self._parts(count), every=after, then=fails(self._dice.choice(["UNAVAILABLE", "INTERNAL"])))

    def _parts(self, count: int) -> list[dict[str, str]]:
        return [{f"part{i}": self.name} for i in range(count)]


def unsent() -> Fault:
    """The connection was refused."""
    kind, code = FaultKind.WORKER_ERROR, Code.UNAVAILABLE
    return Fault(kind, code, "connection refused", origin=Origin.TRANSPORT, sent=False, retryable=True)

"""The door: counts who is inside, knows how the process is doing, and turns callers away before their message is read.

In front of the servicer and not an interceptor of the server: Explain and health must be answered in any state, and what is
shed has to be said as the caller asked for it (a status, a message, the last message of a stream).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from dispatcher.model.policy import OverloadRule
from dispatcher.model.request import Refusal
from dispatcher.policies.overload import Overload, Stage, Why, admit, pushback_of
from fanmesh.model.fault import Code
from fanmesh.model.times import MS
from fanmesh.runtime.histograms import Counter, Gauge
from fanmesh.transport.port import ServerCall

CRITICALITY: Final = "fanmesh-criticality"
SHEDDABLE: Final = "SHEDDABLE"

EVERY: Final = 25 * MS
"""How long a look at the signals is good for: they are measured every 100 and 250 ms, and asked for with every branch."""

TEXTS: Final = {
    Why.MAX_IN_FLIGHT: "as many requests as this dispatcher takes are in flight",
    Why.LAG: "the dispatcher's event loop is late",
    Why.MEMORY: "the dispatcher is short of memory",
    Why.IDEMPOTENCY: "as many requests with an idempotency_key as can be remembered are in flight",
}


@dataclass(frozen=True, slots=True)
class Signals:
    """What the door looks at: `lag` in ns, `memory` in bytes, `u` in [0, 1), `now` in ns."""

    now: Callable[[], int]
    lag: Callable[[], int]
    memory: Callable[[], int]
    u: Callable[[], float]


class Door:
    """One per process. `rule` gives the one in force. `in_flight` is how many requests are inside."""

    def __init__(self, rule: Callable[[], OverloadRule], signals: Signals) -> None:
        self._rule = rule
        self._signals = signals
        self._overload = Overload()
        self._next: int | None = None
        self.in_flight = 0
        self._shed = Counter(
            "fanmesh_shed_total", "Requests refused at the door, by criticality and cause.", ("criticality", "why")
        )
        self._stage = Gauge(
            "fanmesh_overload_stage",
            "0 calm, 1 no hedges, 2 no optional branches, 3 rejecting, 4 closed.",
            lambda: {(): float(self._overload.stage)},
        )

    @property
    def families(self) -> tuple[Counter | Gauge, ...]:
        """What is counted here."""
        return (self._shed, self._stage)

    def stage(self) -> Stage:
        """What the process does without now; cheap enough to be asked for every branch."""
        signals, overload = self._signals, self._overload
        now = signals.now()
        if self._next is None or now >= self._next:
            self._next = now + EVERY
            rule = self._rule()
            overload.look(rule, signals.lag(), signals.memory() if rule.memory_limit else 0, now)
        return overload.stage

    def passage(self, call: ServerCall) -> Passage:
        """`with door.passage(call) as passage:` — inside, `passage.shed` is why the caller must not be served, or None."""
        return Passage(self, call.header(CRITICALITY) != SHEDDABLE)

    def enter(self, *, critical: bool) -> Refusal | None:
        """Let one more in, who owes a `leave`; or say why not."""
        stage = self.stage()
        refused = admit(self._rule(), stage, self._overload.why, self.in_flight, self._signals.u(), critical=critical)
        if refused is None:
            self.in_flight += 1
            return None
        return self._refusal(refused.why, refused.pushback, critical=critical)

    def leave(self) -> None:
        """One is out again."""
        self.in_flight -= 1

    def turn_away(self, why: Why, *, critical: bool) -> Refusal:
        """Refuse one who is inside already, and count it."""
        return self._refusal(why, pushback_of(self.stage(), self._signals.u()), critical=critical)

    def _refusal(self, why: Why, pushback: int, *, critical: bool) -> Refusal:
        self._shed.add(("CRITICAL" if critical else SHEDDABLE, why.value))
        text = f"{TEXTS[why]}; come back in {pushback} ms"
        return Refusal(Code.RESOURCE_EXHAUSTED, "OVERLOADED", text, (("why", why.value),), pushback)


class Passage:
    """One request's way through the door and out again, on every path. `shed` None: it is inside."""

    __slots__ = ("_critical", "_door", "_inside", "shed")

    def __init__(self, door: Door, critical: bool) -> None:  # noqa: FBT001  (made in one place)
        self._door = door
        self._critical = critical
        self._inside = False
        self.shed: Refusal | None = None

    def __enter__(self) -> Self:
        self.shed = self._door.enter(critical=self._critical)
        self._inside = self.shed is None
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.out()

    def out(self) -> None:
        """The request has ended, though its caller may still be reading. May be repeated."""
        if self._inside:
            self._inside = False
            self._door.leave()

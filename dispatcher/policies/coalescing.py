"""Equal calls at the same time as one call: who leads, who waits, who leads next.

The call is made by one of those who want its answer, the leader, and not by an owner of its own: it has the leader's deadline,
hedges and attempts like any call, and its report. So the leader can be lost without an answer: cancelled, out of time, refused
a place that another would be given. That is nobody else's failure: the one who has waited longest leads, and makes
a call of its own. At most one call of a key is out at any time, however many fail one after the other.

| | nobody asks yet | one leads, nobody waits | one leads, some wait |
|---|---|---|---|
| join | leads | waits | waits, last |
| join, more urgent than a leader whose call has not left | leads | leads beside it | leads beside it |
| landed | – | over | over, all are served |
| hand_over | – | over | the first leads |
| forget (one that waits) | – | – | it is gone |

`landed` and `hand_over` are the leader's, once each. A leader may wait for a place of its worker, by its own deadline: who has
less time must not wait behind that, so it leads itself, and whoever comes next compares with it. Of n that come in any order
these are about ln n.

Source: Go's singleflight for the shared failure, nginx's `proxy_cache_lock` for the lost leader. Pure: it names who is to be
told, and how to tell them is the layer's.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from enum import Enum, unique
from typing import Any, Final, TypeAlias

from fanmesh.model.fault import Code, Fault, FaultKind


@unique
class Stand(Enum):
    """How a waiter stands. It leaves WAITING once, and never comes back."""

    WAITING = "waiting"
    SERVED = "served"  # the call has landed, and what it brought is for all
    LEADS = "leads"  # it makes the call now, and owes a `landed` or a `hand_over`
    FORGOTTEN = "forgotten"  # it does not wait any more


class Flight:
    """A call that is being made for all who want it. `waiting`: those behind the leader, the first of them first.

    `deadline`: the leader's, in ns. `payload` is the layer's: who leads.
    """

    __slots__ = ("deadline", "key", "payload", "waiting")

    def __init__(self, key: Hashable, deadline: int) -> None:
        self.key = key
        self.deadline = deadline
        self.waiting: OrderedDict[Waiter, None] = OrderedDict()
        self.payload: Any = None


class Waiter:
    """One that waits. `payload` is the layer's: how to wake it, and what with."""

    __slots__ = ("deadline", "flight", "payload", "stand")

    def __init__(self, flight: Flight, deadline: int) -> None:
        self.flight = flight
        self.deadline = deadline
        self.stand = Stand.WAITING
        self.payload: Any = None


Place: TypeAlias = Flight | Waiter
"""Where one stands who joins: a flight is its own to lead."""


class Flights:
    """The calls of one branch that are being made, by key."""

    __slots__ = ("_flights", "_open")

    def __init__(self) -> None:
        self._flights: dict[Hashable, Flight] = {}  # the newest of each key: who comes waits for that
        self._open = 0

    def __len__(self) -> int:
        return self._open

    def of(self, key: Hashable) -> Flight | None:
        """The call that whoever asks now would wait for."""
        return self._flights.get(key)

    def join(self, key: Hashable, deadline: int, *, sent: bool) -> Place:
        """Wait for the call of this key; if there is none to wait for, lead: make it, and say how it ended.

        `deadline` is the newcomer's, in ns; `sent`: the call of `of(key)` has left.
        """
        flight = self._flights.get(key)
        if flight is None or (not sent and deadline < flight.deadline):
            flight = self._flights[key] = Flight(key, deadline)
            self._open += 1
            return flight
        waiter = Waiter(flight, deadline)
        flight.waiting[waiter] = None
        return waiter

    def landed(self, flight: Flight) -> list[Waiter]:
        """What the call brought is for all. Returned are those who waited for it; the next one to ask leads anew."""
        self._over(flight)
        served = list(flight.waiting)
        flight.waiting.clear()
        for waiter in served:
            waiter.stand = Stand.SERVED
        return served

    def hand_over(self, flight: Flight) -> Waiter | None:
        """The leader is lost, or what befell it is its own affair. Returned is who leads now; None: nobody wants it."""
        if not flight.waiting:
            self._over(flight)
            return None
        waiter, _ = flight.waiting.popitem(last=False)
        waiter.stand = Stand.LEADS
        flight.deadline = waiter.deadline
        return waiter

    def forget(self, waiter: Waiter) -> None:
        """It does not wait any more. Nothing happens unless it is WAITING: one that leads has to hand over."""
        if waiter.stand is Stand.WAITING:
            del waiter.flight.waiting[waiter]
            waiter.stand = Stand.FORGOTTEN

    def _over(self, flight: Flight) -> None:
        self._open -= 1
        if self._flights.get(flight.key) is flight:  # or a more urgent one has taken its place
            del self._flights[flight.key]


OF_THE_CALL: Final = frozenset(
    {FaultKind.WORKER_ERROR, FaultKind.INVALID_RESPONSE, FaultKind.TOO_LARGE, FaultKind.STREAM_BROKEN}
)
"""Kinds that whoever made the call would have met. The rest is ours: a time that was too short, a place that was refused."""

OF_TIME: Final = frozenset({Code.DEADLINE_EXCEEDED, Code.CANCELLED})
"""Codes with which a worker, too, speaks of the time that its caller gave it."""


def shared(fault: Fault) -> bool:
    """Whether a failure of the leader's call is everybody's, so that a worker in trouble is not called by each in turn.

    Otherwise each makes a call of its own, one after the other: it may have more time, or be worth more.
    """
    return fault.kind in OF_THE_CALL and fault.code not in OF_TIME

"""Equal calls as one: every state of a key with everything that can happen to it."""

import pytest

from dispatcher.policies.coalescing import Flight, Flights, Stand, Waiter, shared
from fanmesh.model.fault import Code, Fault, FaultKind

W, S, L, F = Stand.WAITING, Stand.SERVED, Stand.LEADS, Stand.FORGOTTEN


def led(flights: Flights, key: str = "k", deadline: int = 100) -> Flight:
    """Whoever asks first leads."""
    flight = flights.join(key, deadline, sent=False)
    assert isinstance(flight, Flight)
    return flight


def waits(flights: Flights, key: str = "k", deadline: int = 100) -> Waiter:
    """Whoever asks next waits."""
    waiter = flights.join(key, deadline, sent=False)
    assert isinstance(waiter, Waiter)
    return waiter


TABLE = [
    # how many wait, what happens, how they stand then, whether the key still flies
    (0, "landed", [], False),
    (1, "landed", [S], False),
    (2, "landed", [S, S], False),
    (0, "hand_over", [], False),
    (1, "hand_over", [L], True),
    (2, "hand_over", [L, W], True),
    (1, "forget", [F], True),
    (2, "forget", [F, W], True),
]


@pytest.mark.parametrize(("waiting", "event", "stands", "flies"), TABLE, ids=[f"{row[0]}-{row[1]}" for row in TABLE])
def test_each_event_in_each_state(waiting: int, event: str, stands: list[Stand], flies: bool) -> None:  # noqa: FBT001  (a table)
    """The table of the state machine; who joins next leads if nobody does, and waits otherwise."""
    flights = Flights()
    flight = led(flights)
    waiters = [waits(flights) for _ in range(waiting)]
    match event:
        case "landed":
            assert flights.landed(flight) == waiters
        case "hand_over":
            assert flights.hand_over(flight) is (waiters[0] if waiters else None)
        case "forget":
            flights.forget(waiters[0])
    assert ([waiter.stand for waiter in waiters], len(flights)) == (stands, int(flies))
    assert isinstance(flights.join("k", 100, sent=False), Waiter if flies else Flight)


@pytest.mark.parametrize("event", ["landed", "hand_over"])
def test_forgotten_after_its_turn_has_come(event: str) -> None:
    """In the same step as it was cancelled. Nothing happens: one that leads owes a `hand_over` of its own."""
    flights = Flights()
    flight = led(flights)
    waiter = waits(flights)
    getattr(flights, event)(flight)
    stand = waiter.stand
    flights.forget(waiter)
    assert waiter.stand is stand
    assert len(flights) == (stand is L)


def test_keys_have_nothing_to_do_with_each_other() -> None:
    """Each has its own leader."""
    flights = Flights()
    a, b = led(flights, "a"), led(flights, "b")
    waiter = waits(flights, "a")
    assert flights.hand_over(b) is None
    assert flights.landed(a) == [waiter]


def test_one_after_the_other() -> None:
    """Leaders are lost one by one: those who wait lead in the order in which they came, and never two at once."""
    flights = Flights()
    flight = led(flights)
    waiters = [waits(flights) for _ in range(3)]
    for turn, waiter in enumerate(waiters):
        assert flights.hand_over(flight) is waiter
        assert [one.stand for one in waiters] == [L] * (turn + 1) + [W] * (2 - turn)
    assert flights.hand_over(flight) is None
    assert len(flights) == 0


def test_a_flight_that_is_over_leaves_its_successor_alone() -> None:
    """Who joins after the landing leads a new flight, and is not served by the old one."""
    flights = Flights()
    old = led(flights)
    waits(flights)
    flights.landed(old)
    new = led(flights)
    assert new is not old
    assert flights.hand_over(new) is None


@pytest.mark.parametrize(("sent", "deadline", "leads"), [(False, 99, True), (False, 100, False), (True, 99, False)])
def test_who_has_less_time_than_a_leader_that_waits(sent: bool, deadline: int, leads: bool) -> None:  # noqa: FBT001  (a table)
    """Leads itself, and is from then on the one to wait for. A call that has left is good enough for everybody."""
    flights = Flights()
    first = led(flights)
    behind = waits(flights)
    place = flights.join("k", deadline, sent=sent)
    assert isinstance(place, Flight) is leads
    assert (flights.of("k") is first, len(flights)) == (not leads, 1 + leads)
    if isinstance(place, Flight):
        late = waits(flights, deadline=deadline)
        assert flights.landed(first) == [behind]
        assert (flights.of("k"), len(flights)) == (place, 1)
        assert flights.landed(place) == [late]
    assert len(flights) == (0 if leads else 1)


def test_an_heirs_deadline_is_the_one_to_compare_with() -> None:
    """The lost leader's is of no account any more."""
    flights = Flights()
    flight = led(flights, deadline=50)
    waits(flights, deadline=200)
    flights.hand_over(flight)
    assert isinstance(flights.join("k", 150, sent=False), Flight)


@pytest.mark.parametrize("kind", FaultKind, ids=lambda kind: kind.value)
@pytest.mark.parametrize(
    "code", [Code.UNAVAILABLE, Code.NOT_FOUND, Code.DEADLINE_EXCEEDED, Code.CANCELLED], ids=lambda code: code.name
)
def test_which_failure_is_everybodys(kind: FaultKind, code: Code) -> None:
    """What the worker, or the way to it, would have said to anybody; not what is about the leader's own time or place."""
    of_the_call = kind.value in {"worker_error", "invalid_response", "too_large", "stream_broken"}
    assert shared(Fault(kind, code)) is (of_the_call and code in {Code.UNAVAILABLE, Code.NOT_FOUND})

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fanmesh.model.times import MS, SECOND
from fanmesh.transport.fast.deadlines import Deadlines


class Timer:
    """Of the loop below."""

    def __init__(self, at: float, callback: Callable[[], None]) -> None:
        self.at = at
        self.callback = callback
        self.off = False

    def cancel(self) -> None:
        """As a loop's."""
        self.off = True


class Loop:
    """A loop whose turns take time: its timers may ring that much too early, as uvloop's do."""

    def __init__(self, haste: int = 0) -> None:
        self.now = 7 * SECOND + 123_456
        self.haste = haste
        self.timers: list[Timer] = []
        self.rung = 0

    def call_later(self, wait: float, callback: Callable[[], None]) -> Timer:
        """Seconds, from now."""
        timer = Timer(self.now + max(0, wait * SECOND - self.haste), callback)
        self.timers.append(timer)
        return timer

    def advance(self, ns: int) -> None:
        """Let that much time pass."""
        until = self.now + ns
        while due := [timer for timer in self.timers if timer.at <= until and not timer.off]:
            timer = min(due, key=lambda one: one.at)
            self.timers.remove(timer)
            self.now = max(self.now, int(timer.at))
            self.rung += 1
            timer.callback()
            self.timers = [timer for timer in self.timers if not timer.off]
        self.now = until


class Call:
    """What has a deadline, and may take others with it."""

    def __init__(self, loop: Loop, log: list[tuple["Call", int]]) -> None:
        self.loop = loop
        self.log = log
        self.then: Callable[[], None] = lambda: None

    def expire(self) -> None:
        """Its time is up."""
        self.log.append((self, self.loop.now))
        self.then()


def book(haste: int = 0) -> tuple[Deadlines, Loop, list[tuple[Call, int]]]:
    """A book of a loop that is that hasty."""
    loop = Loop(haste)
    return Deadlines(loop, lambda: loop.now), loop, []  # type: ignore[arg-type]  # as much of a loop as is asked


STEP = st.one_of(
    st.tuples(st.just("set"), st.integers(-5 * MS, 200 * MS)),
    st.tuples(st.just("drop"), st.integers(0, 50)),
    st.tuples(st.just("wait"), st.integers(0, 60 * MS)),
)


@given(st.lists(STEP, max_size=60), st.integers(0, MS * 9 // 10))
def test_each_rings_once_never_early_and_soon_after(steps: list[tuple[str, int]], haste: int) -> None:
    """Unless it is dropped before: then never. Soon is three milliseconds, since the loop counts in them."""
    deadlines, loop, log = book(haste)
    made: dict[Call, tuple[int, int]] = {}
    dropped: set[Call] = set()
    for what, much in steps:
        if what == "set":
            call = Call(loop, log)
            made[call] = (max(loop.now + much, 0), deadlines.set(call, loop.now + much))
        elif what == "drop" and made:
            call = list(made)[much % len(made)]
            deadlines.drop(call, made[call][1])
            if call not in dict(log):
                dropped.add(call)
        elif what == "wait":
            loop.advance(much)
    loop.advance(SECOND)
    rang = dict(log)
    assert len(rang) == len(log)
    assert rang.keys() == made.keys() - dropped
    assert all(at <= rang[call] for call, (at, _) in made.items() if call in rang)
    assert len(deadlines) == 0
    assert not loop.timers, "a timer for nobody"


@given(st.integers(1, 400 * MS))
def test_one_alone_is_three_milliseconds_late_at_most(wait: int) -> None:
    """What is over after its deadline is told soon, whenever in a millisecond that was."""
    deadlines, loop, log = book()
    at = loop.now + wait
    deadlines.set(Call(loop, log), at)
    loop.advance(SECOND)
    assert [0 <= rang - at <= 3 * MS for _, rang in log] == [True]


def test_calls_that_end_in_time_cost_no_turn_of_the_loop() -> None:
    """A thousand requests a second, each with a second and done in a millisecond: the timer rings about once a second."""
    deadlines, loop, log = book()
    for _ in range(10_000):
        call = Call(loop, log)
        moment = deadlines.set(call, loop.now + SECOND)
        loop.advance(MS)
        deadlines.drop(call, moment)
    assert not log
    assert loop.rung <= 11


def test_deadlines_in_a_day_leave_nothing_behind_when_their_calls_end() -> None:
    """The book is as large as what waits, and not as what has ever waited."""
    deadlines, loop, log = book()
    for _ in range(10_000):
        call = Call(loop, log)
        moment = deadlines.set(call, loop.now + 86_400 * SECOND)
        loop.advance(MS)
        deadlines.drop(call, moment)
    inside: Any = deadlines
    assert len(inside._moments) < 100
    assert not inside._calls


def test_the_end_of_one_may_be_the_end_of_another_and_the_beginning_of_a_third() -> None:
    """In the same millisecond: the second never rings, the third does, and what it begins in its turn does later."""
    deadlines, loop, log = book()
    first, second, third, fourth = (Call(loop, log) for _ in range(4))
    at = loop.now + 10 * MS
    deadlines.set(first, at)
    moment = deadlines.set(second, at)

    def instead() -> None:
        deadlines.drop(second, moment)
        deadlines.set(third, at)

    first.then = instead
    third.then = lambda: (deadlines.set(fourth, loop.now + 5 * MS), None)[1]
    loop.advance(SECOND)
    assert [call for call, _ in log] == [first, third, fourth]
    assert not loop.timers


def test_an_earlier_one_moves_the_timer_and_a_drop_may_be_repeated() -> None:
    """There is one timer, for the first."""
    deadlines, loop, log = book()
    late, soon = Call(loop, log), Call(loop, log)
    deadlines.set(late, loop.now + 100 * MS)
    moment = deadlines.set(soon, loop.now + 10 * MS)
    assert len([timer for timer in loop.timers if not timer.off]) == 1
    loop.advance(20 * MS)
    assert [call for call, _ in log] == [soon]
    deadlines.drop(soon, moment)
    deadlines.drop(soon, moment)
    assert len(deadlines) == 1


def test_a_closed_book_leaves_no_timer_and_makes_none() -> None:
    """Whoever is in it does not hear of its deadline; who joins later may, and may leave as always. To close is repeatable."""
    deadlines, loop, log = book()
    deadlines.set(Call(loop, log), loop.now + SECOND)
    for _ in range(2):
        deadlines.close()
        assert all(timer.off for timer in loop.timers)
        assert len(deadlines) == 0
    late = Call(loop, log)
    deadlines.drop(late, deadlines.set(late, loop.now + MS))
    deadlines.set(late, loop.now + MS)
    assert all(timer.off for timer in loop.timers)
    loop.advance(2 * SECOND)
    assert not log


def test_a_book_may_be_closed_by_the_end_of_one() -> None:
    """As when a connection ends with its last call: those due with it and after it are not told."""
    deadlines, loop, log = book()
    first, *others = (Call(loop, log) for _ in range(3))
    first.then = deadlines.close
    for call in (first, *others):
        deadlines.set(call, loop.now + 10 * MS)
    deadlines.set(Call(loop, log), loop.now + 12 * MS)
    loop.advance(SECOND)
    assert [call for call, _ in log] == [first]
    assert not loop.timers

import asyncio

from fanmesh.model.times import MS, SECOND
from fanmesh.runtime.lag import EVERY, WINDOW, LoopLag


def test_lateness_is_measured_and_forgotten() -> None:
    """A stall shows for one to two windows, then it is over; a timer on time shows nothing."""

    async def story() -> list[int]:
        time, seen = 0, []
        lag = LoopLag(lambda: time)
        lag.start()
        for late in (0, SECOND):
            time += EVERY + late
            lag._tick()
            seen.append(lag.worst)
        for _ in range(2 * WINDOW // EVERY):
            time += EVERY
            lag._tick()
        seen.append(lag.worst)
        lag.stop()
        lag.stop()
        return seen

    assert asyncio.run(story()) == [0, SECOND, 0]


def recent(*late: int) -> list[int]:
    """The lag that persists after each of these ticks, in ms."""

    async def story() -> list[int]:
        time, seen = 0, []
        lag = LoopLag(lambda: time)
        lag.start()
        for ms in late:
            time += EVERY + ms * MS
            lag._tick()
            seen.append(lag.recent // MS)
        lag.stop()
        return seen

    return asyncio.run(story())


def test_a_single_stall_is_not_lag_that_persists() -> None:
    """One late tick, or two, of five is a stall that is over: nobody is refused for it."""
    assert recent(2000, 0, 300, 0, 0, 0, 0) == [0] * 7


def test_lag_that_persists_shows_at_the_third_late_tick() -> None:
    """Three late ticks of five raise it, three on time bring it down."""
    assert recent(300, 100, 200, 200, 200, 0, 0, 0) == [0, 0, 100, 200, 200, 200, 200, 0]

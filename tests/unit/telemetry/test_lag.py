import asyncio

from fanmesh.model.times import SECOND
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

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from dispatcher.model.plan import Worker
from dispatcher.wire.watching import EVERY, LEAST, Nudge, Phase, Watch, Watcher
from fanmesh.model.fault import Code, Fault
from fanmesh.model.outcome import Success
from fanmesh.model.times import MS, SECOND
from fanmesh.testing import run_virtual

NAME = Worker("geo", "dns:///geo:50051")


class _Timer:
    def __init__(self, when: int) -> None:
        self.when = when
        self.live = True

    def cancel(self) -> None:
        self.live = False


class _World:
    """A clock that stands still, and lookups that wait to be answered."""

    def __init__(self) -> None:
        self.time = 0
        self.timers: list[_Timer] = []
        self.answers: list[asyncio.Future[list[str]]] = []
        self.found: list[list[str]] = []

    def now(self) -> int:
        return self.time

    def call_at(self, when: int, _: Callable[[], None]) -> _Timer:
        self.timers.append(timer := _Timer(when))
        return timer

    async def lookup(self, _: Worker) -> list[str]:
        self.answers.append(answer := asyncio.get_running_loop().create_future())
        return await answer

    @property
    def due(self) -> list[int]:
        """When the live timers fire."""
        return [timer.when for timer in self.timers if timer.live]

    def watch(self) -> Watch:
        """One that has been watching for three seconds."""
        watch = Watch(NAME, self, self.lookup, lambda _, addresses: self.found.append(addresses))
        self.time = 3 * SECOND
        return watch


async def _in(phase: Phase, world: _World) -> Watch:
    watch = world.watch()
    if phase is Phase.LOOKING:
        world.time = EVERY
        watch.tick()
        await asyncio.sleep(0)
        world.timers.clear()
    elif phase is Phase.OVER:
        watch.stop()
    assert watch.phase is phase
    return watch


def _nudge(watch: Watch, _: _World) -> None:
    watch.nudge()


def _early(watch: Watch, _: _World) -> None:
    watch.tick()


def _due(watch: Watch, world: _World) -> None:
    world.time = EVERY
    watch.tick()


def _answer(_: Watch, world: _World) -> None:
    for answer in world.answers:
        answer.set_result(["10.0.0.1:1"])


def _nothing(_: Watch, world: _World) -> None:
    for answer in world.answers:
        answer.set_result([])


def _fail(_: Watch, world: _World) -> None:
    for answer in world.answers:
        answer.set_exception(OSError("resolver"))


def _stop(watch: Watch, _: _World) -> None:
    watch.stop()


FOUND = [["10.0.0.1:1"]]
TABLE = [
    # (before, event) → (after, timers, lookups begun, found)
    (Phase.WAITING, _nudge, Phase.WAITING, [LEAST], 0, []),
    (Phase.WAITING, _early, Phase.WAITING, [EVERY], 0, []),
    (Phase.WAITING, _due, Phase.LOOKING, [EVERY], 1, []),
    (Phase.WAITING, _answer, Phase.WAITING, [EVERY], 0, []),
    (Phase.WAITING, _nothing, Phase.WAITING, [EVERY], 0, []),
    (Phase.WAITING, _fail, Phase.WAITING, [EVERY], 0, []),
    (Phase.WAITING, _stop, Phase.OVER, [], 0, []),
    (Phase.LOOKING, _nudge, Phase.LOOKING, [], 1, []),
    (Phase.LOOKING, _early, Phase.LOOKING, [], 1, []),
    (Phase.LOOKING, _due, Phase.LOOKING, [], 1, []),
    (Phase.LOOKING, _answer, Phase.WAITING, [2 * EVERY], 1, FOUND),
    (Phase.LOOKING, _nothing, Phase.WAITING, [2 * EVERY], 1, []),
    (Phase.LOOKING, _fail, Phase.WAITING, [2 * EVERY], 1, []),
    (Phase.LOOKING, _stop, Phase.OVER, [], 1, []),
    (Phase.OVER, _nudge, Phase.OVER, [], 0, []),
    (Phase.OVER, _early, Phase.OVER, [], 0, []),
    (Phase.OVER, _due, Phase.OVER, [], 0, []),
    (Phase.OVER, _answer, Phase.OVER, [], 0, []),
    (Phase.OVER, _nothing, Phase.OVER, [], 0, []),
    (Phase.OVER, _fail, Phase.OVER, [], 0, []),
    (Phase.OVER, _stop, Phase.OVER, [], 0, []),
]


@pytest.mark.parametrize(("before", "event", "after", "due", "begun", "found"), TABLE)
def test_every_event_in_every_phase(
    before: Phase, event: Callable[[Watch, _World], None], after: Phase, due: list[int], begun: int, found: list[list[str]]
) -> None:
    """One lookup at a time, one timer at a time, none of either when it is over; what fails or gives nothing is not told."""

    async def main() -> None:
        world = _World()
        watch = await _in(before, world)
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # of the lookup that fails
        event(watch, world)
        for _ in range(3):
            await asyncio.sleep(0)
        assert (watch.phase, world.due, len(world.answers), world.found) == (after, due, begun, found)

    run_virtual(main())


def test_the_table_is_complete() -> None:
    """Every pair of phase and event stands in it once."""
    events = (_nudge, _early, _due, _answer, _nothing, _fail, _stop)
    assert sorted((p.value, e.__name__) for p, e, *_ in TABLE) == sorted((p.value, e.__name__) for p in Phase for e in events)


def test_an_answer_that_comes_after_the_end_is_thrown_away() -> None:
    """Also if the resolver could not be stopped, and answers in the same step."""

    async def main() -> None:
        world = _World()
        watch = await _in(Phase.LOOKING, world)
        _answer(watch, world)
        watch.stop()
        await asyncio.sleep(0)
        assert world.found == []

    run_virtual(main())


def test_a_slow_lookup_is_not_followed_by_another_at_once() -> None:
    """If one takes longer than the interval, the resolver is left alone for a second."""

    async def main() -> None:
        world = _World()
        watch = await _in(Phase.LOOKING, world)
        world.time = 60 * SECOND
        _answer(watch, world)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert world.due == [60 * SECOND + LEAST]

    run_virtual(main())


def test_many_nudges_are_one() -> None:
    """A thousand failures within a second make one lookup, a second after the last one began."""

    async def main() -> None:
        world = _World()
        watch = world.watch()
        world.time = 100 * MS
        for _ in range(1000):
            watch.nudge()
        assert (world.due, len(world.timers)) == ([LEAST], 2)

    run_virtual(main())


def _targets(watcher: Watcher) -> dict[str, str]:
    return {name: watch.worker.target for name, watch in watcher._watches.items()}


def test_whom_a_watcher_watches() -> None:
    """Names only. A reload keeps the watch of a name that stays, begins anew with a changed one, and ends the others."""

    async def main() -> None:
        world = _World()
        watcher = Watcher(world, world.lookup, lambda _, addresses: world.found.append(addresses))
        watcher.watch(
            [NAME, Worker("list", "dns:///a:1", endpoints=("b:1",)), Worker("one", "unix:/run/x"), Worker("b", "b:1")]
        )
        assert _targets(watcher) == {"geo": "dns:///geo:50051", "b": "b:1"}
        kept, changed = watcher._watches["geo"], watcher._watches["b"]
        watcher.watch([Worker("geo", "dns:///geo:50051", streams=True), Worker("b", "c:1")])
        assert (watcher._watches["geo"], kept.worker.streams, changed.phase) == (kept, True, Phase.OVER)
        watcher.watch([Worker("b", "c:1")])
        assert (_targets(watcher), kept.phase) == ({"b": "c:1"}, Phase.OVER)
        watcher.nudge("nobody")
        watcher.close()
        watcher.watch([NAME])
        assert (_targets(watcher), world.due) == ({}, [])

    run_virtual(main())


def _attempt(outcome: Any) -> Any:
    return SimpleNamespace(outcome=outcome, worker=NAME)


@pytest.mark.parametrize(
    ("outcome", "nudged"),
    [
        (Fault.unavailable("gone"), ["geo"]),
        (Fault.of(Code.DEADLINE_EXCEEDED), []),
        (Fault.of(Code.INTERNAL), []),
        (Success(1), []),
        (None, []),
    ],
)
def test_who_could_not_be_reached_is_looked_up(outcome: Any, nudged: list[str]) -> None:
    """An attempt that ends UNAVAILABLE says that addresses may have changed; nothing else does, a cancelled one neither."""
    told: list[str] = []
    Nudge(told.append).attempt_ended(_attempt(outcome))
    assert told == nudged

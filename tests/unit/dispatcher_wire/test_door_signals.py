"""The door and its signals, without a server: what it asks for, when, and what it lets the engine know."""

from __future__ import annotations

from dispatcher.model.policy import OverloadRule, Thresholds
from dispatcher.policies.overload import HOLD, Stage
from dispatcher.wire.door import EVERY, Door, Signals
from fanmesh.model.fault import Code
from fanmesh.model.times import MS


class World:
    """A clock and two signals that are set by hand; `looks` counts how often lag was asked for."""

    def __init__(self, rule: OverloadRule) -> None:
        self.rule = rule
        self.now = 0
        self.lag = 0
        self.memory = 0
        self.looks = 0
        self.door = Door(lambda: self.rule, Signals(lambda: self.now, self._lag, lambda: self.memory, lambda: 0.5))

    def _lag(self) -> int:
        self.looks += 1
        return self.lag


def test_the_stage_follows_the_loop() -> None:
    """Lag of 50, 100, 250 and 500 ms: no hedges, no optional branches, no SHEDDABLE, nobody; and back to calm."""
    world = World(OverloadRule())
    stages = []
    for lag in (0, 50, 100, 250, 500, 0, 0, 0, 0):
        world.now += HOLD
        world.lag = lag * MS
        stages.append(world.door.stage())
    assert stages == [0, 1, 2, 3, 4, 3, 2, 1, 0]


def test_late_loops_turn_the_sheddable_away_first() -> None:
    """In REJECTING a SHEDDABLE request is told why and for how long, a CRITICAL one comes in."""
    world = World(OverloadRule())
    world.lag = 250 * MS
    refusal = world.door.enter(critical=False)
    assert refusal is not None
    assert (refusal.code, refusal.reason, refusal.pushback) == (Code.RESOURCE_EXHAUSTED, "OVERLOADED", 1500)
    assert refusal.metadata == (("why", "lag"),)
    assert world.door.enter(critical=True) is None
    assert world.door.in_flight == 1


def test_a_look_is_good_for_a_while() -> None:
    """Asked a thousand times within 25 ms, the door looks once."""
    world = World(OverloadRule())
    for _ in range(1000):
        world.door.stage()
    world.now = EVERY - 1
    world.door.stage()
    assert world.looks == 1
    world.now = EVERY
    world.door.stage()
    assert world.looks == 2


def test_a_reload_is_heard() -> None:
    """The rule in force decides, not the one of the start."""
    world = World(OverloadRule(max_in_flight=1))
    assert world.door.enter(critical=True) is None
    assert world.door.enter(critical=True) is not None
    world.rule = OverloadRule(max_in_flight=2, lag=Thresholds(), memory=Thresholds(hedges=0.5), memory_limit=100)
    assert world.door.enter(critical=True) is None
    world.now, world.memory = EVERY, 50
    assert world.door.stage() is Stage.NO_HEDGES

"""The time in which one configuration was in force, and who still runs by it.

A request keeps the configuration it began with, and so it needs the endpoints of that one too: a branch that waits in a queue,
for its turn in the plan, or for its next attempt has not chosen an endpoint yet. They are counted, and not given some time:
time would be too short for the one and keep connections for nobody the rest of the day.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from dispatcher.layers.pick import Endpoint
from dispatcher.model.plan import Worker

Replaced: TypeAlias = Mapping[str, tuple[Worker, tuple[Endpoint, ...]]]
"""By name: workers that a reload has removed or sent elsewhere, and the endpoints they had."""


class Era:
    """`with` it while a request runs. `idle` is called whenever the last one has ended.

    `taken`: some request was accepted in it. `over`: it has ended, and all of those are counted. `replaced`: what its end has
    taken from its requests, and from older ones.
    """

    __slots__ = ("_idle", "over", "replaced", "running", "taken")

    def __init__(self, idle: Callable[[], None]) -> None:
        self._idle = idle
        self.running = 0
        self.taken = False
        self.over = False
        self.replaced: Replaced = {}

    def __enter__(self) -> None:
        self.running += 1

    def __exit__(self, *_: object) -> None:
        self.running -= 1
        if not self.running:
            self._idle()

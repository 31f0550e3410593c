"""What is known of foreign methods, by worker: read from the configuration, or learnt from the servers by reflection.

Learnt beside the calls and not by the first one: a call has its own deadline, and a hundred first calls would ask a hundred
times. Until then calls fail as to a server that is not there, which in effect it is not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Final

from dispatcher.flow.ports import Clock, Timer
from dispatcher.model.method import Method, NotDescribed
from dispatcher.wire.contracts import Contract, describe
from fanmesh.model.times import SECOND
from fanmesh.transport.port import Channel
from fanmesh.transport.reflecting import Unreflected
from fanmesh.transport.reflecting import describe as reflect

AGAIN_FIRST: Final = SECOND
AGAIN_MOST: Final = 30 * SECOND
"""ns after which a server that did not say is asked again; twice as long each time. A call that needs it asks after one."""

ASK_WITHIN: Final = 5.0
"""Seconds for one answer."""

Channels = Callable[[str], Channel | None]
"""A connection to a worker, by its name; None while there is no address."""

Reflect = Callable[[Channel, str, float], Awaitable[bytes]]
"""Asks a server for the descriptors of a service, within so many seconds. Raises Unreflected."""


class Known:
    """What is known of one worker's method. `contract` None: nothing, and `why` says why."""

    __slots__ = ("_learn", "contract", "method", "why")

    def __init__(self, method: Method, learn: Callable[[], None]) -> None:
        self.method = method
        self.contract: Contract | None = None
        self.why = f"{method.name}: the server has not been asked yet what it takes"
        self._learn = learn

    def wanted(self) -> None:
        """Somebody has called it although nothing is known: ask soon."""
        self._learn()


class Learning:
    """Of every worker with a method, what is known of it. To be used in the loop."""

    def __init__(self, clock: Clock, channels: Channels, reflect: Reflect = reflect) -> None:
        self._clock = clock
        self._reflect = reflect
        self._channels = channels
        self._known: dict[str, Known] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._asked_at: dict[str, int] = {}
        self._waits: dict[str, int] = {}
        self._alarms: dict[str, Timer] = {}

    def of(self, name: str, method: Method) -> Known:
        """What is known of the method of a worker; the same object for as long as the method is the same."""
        known = self._known.get(name)
        if known is None or known.method != method:
            known = self._known[name] = Known(method, lambda: self._wanted(name))
            self._forget(name)
            if method.descriptors:
                try:
                    known.contract = describe(method)
                except NotDescribed as wrong:  # of a configuration that nobody has checked
                    known.why = f"{method.name}: {wrong.message}"
        return known

    def keep(self, names: Iterable[str]) -> None:
        """Forget all other workers, and ask those of which nothing is known."""
        names = set(names)
        for name in [name for name in self._known if name not in names]:
            self._forget(name)
            del self._known[name]
        for name in self.unknown():
            self._ask(name)

    def refresh(self) -> None:
        """Ask every server, also those that have answered: what they said stays in use until there is a newer answer."""
        for name in self._known:
            self._ask(name, again=True)

    def unknown(self) -> dict[str, str]:
        """The workers whose server has still to say what its method takes, and why it did not."""
        return {
            name: known.why for name, known in self._known.items() if known.contract is None and not known.method.descriptors
        }

    async def settled(self, within: float) -> None:
        """Wait at most so many seconds for the answers that are on their way."""
        if running := list(self._asking.values()):
            await asyncio.wait(running, timeout=within)

    async def aclose(self) -> None:
        """Ask nobody any more."""
        running = list(self._asking.values())
        for name in list(self._known):
            self._forget(name)
        self._known.clear()
        for task in running:
            with suppress(asyncio.CancelledError):
                await task

    def _wanted(self, name: str) -> None:
        if self._clock.now() - self._asked_at.get(name, -SECOND) >= SECOND:
            self._ask(name)

    def _ask(self, name: str, *, again: bool = False) -> None:
        known = self._known.get(name)
        if known is None or known.method.descriptors or name in self._asking or (known.contract is not None and not again):
            return
        if (alarm := self._alarms.pop(name, None)) is not None:
            alarm.cancel()
        self._asked_at[name] = self._clock.now()
        self._asking[name] = task = asyncio.ensure_future(self._learn(name, known))
        task.add_done_callback(lambda done: self._answered(name, done))

    def _answered(self, name: str, task: asyncio.Task[None]) -> None:
        if self._asking.get(name) is task:
            del self._asking[name]

    async def _learn(self, name: str, known: Known) -> None:
        method = known.method
        channel = self._channels(name)
        if channel is None:
            known.why = f"{method.name}: no address of its server is known, so it cannot be asked what it takes"
        else:
            try:
                descriptors = await self._reflect(channel, method.service, ASK_WITHIN)
                known.contract = describe(Method(method.name, descriptors))
            except Unreflected as silent:
                known.why = f"{method.name}: reflection at {channel.address}: {silent}"
            except NotDescribed as wrong:
                names = f"; there are {', '.join(wrong.known)}" if wrong.known else ""
                known.why = f"{method.name}: reflection at {channel.address}: {wrong.message}{names}"
            else:
                self._waits.pop(name, None)
                return
        if known.contract is not None:
            return  # what it said before still holds, as far as anybody knows
        wait = self._waits.get(name, AGAIN_FIRST)
        self._waits[name] = min(2 * wait, AGAIN_MOST)
        self._alarms[name] = self._clock.call_at(self._clock.now() + wait, lambda: self._ask(name))

    def _forget(self, name: str) -> None:
        if (task := self._asking.pop(name, None)) is not None:
            task.cancel()
        if (alarm := self._alarms.pop(name, None)) is not None:
            alarm.cancel()
        self._waits.pop(name, None)
        self._asked_at.pop(name, None)

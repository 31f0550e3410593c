"""An event loop whose time jumps: a plan that waits 1.5 s is tested in a millisecond, and always alike.

Pure asyncio only. When nothing is ready the clock goes straight to the next timer; when there is no timer either, nobody can
ever wake up again, and that is an error instead of a test that hangs. A real socket would be pending while time jumps past its
deadline, so waiting for one counts as blocked, too.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from fanmesh.model.times import SECOND

T = TypeVar("T")


class BlockedError(RuntimeError):
    """Everything waits, and nothing will ever happen."""


class _Jump(selectors.BaseSelector):
    """Instead of waiting, moves the clock."""

    def __init__(self, advance: Callable[[float | None], None]) -> None:
        self._advance = advance
        self._keys: dict[int, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        key = selectors.SelectorKey(fileobj, id(fileobj), events, data)
        self._keys[id(fileobj)] = key
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(id(fileobj))

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._advance(timeout)
        return []

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop on virtual time, which starts at 0. `now` is in ns."""

    def __init__(self) -> None:
        self.now = 0
        self._waiting_alarms = 0
        super().__init__(_Jump(self._advance))
        self._clock_resolution = 1e-9

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self.now / SECOND

    def _advance(self, timeout: float | None) -> None:
        if timeout is None:
            raise BlockedError("every task waits, and no timer is set: nothing can ever happen")
        self.now += round(timeout * SECOND)

    def quiet(self) -> bool:
        """Whether only alarms are left to run at this instant: no callback, and no timer of no length either."""
        timers = self._scheduled  # type: ignore[attr-defined]
        due = bool(timers) and timers[0].when() < self.time() + self._clock_resolution
        return not due and len(self._ready) <= self._waiting_alarms  # type: ignore[attr-defined]

    def alarm(self, callback: Callable[[], None]) -> None:
        """Call `callback` at this instant, after everything else that happens at it: endings come before softs."""
        self._waiting_alarms += 1

        def attempt() -> None:
            self._waiting_alarms -= 1
            if self.quiet():
                callback()
            else:
                self.alarm(callback)

        self.call_soon(attempt)


class VirtualClock:
    """The clock of the engine on a virtual loop."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def now(self) -> int:
        """Virtual time in ns."""
        return self._loop.now

    def call_at(self, when: int, callback: Callable[[], None]) -> Handle:
        """Call `callback` at `when`, after everything else that happens at that instant."""
        return Handle(self._loop, when, callback)


class Handle:
    """A timer that can be cancelled, also while it waits for its instant to become quiet."""

    def __init__(self, loop: VirtualLoop, when: int, callback: Callable[[], None]) -> None:
        self._callback: Callable[[], None] | None = callback
        self._timer = loop.call_at(when / SECOND, loop.alarm, self._fire)

    def _fire(self) -> None:
        if self._callback is not None:
            self._callback()

    def cancel(self) -> None:
        """Forget it."""
        self._callback = None
        self._timer.cancel()


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` to its end on a fresh virtual loop; what it leaves running is cancelled."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)

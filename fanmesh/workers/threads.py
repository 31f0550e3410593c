"""Threads for plain `def` workers, which a program can leave behind.

The interpreter waits for every thread of a ThreadPoolExecutor before it exits. That is right for a program that embeds workers,
and wrong for one that was told to end, has waited as long as it may, and has a thread that is stuck.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

MOST: Final = 16
"""Plain `def` workers that run at once in one process; more wait."""

_Work = tuple[Future[Any], Callable[..., Any], tuple[Any, ...], dict[str, Any]]


class Threads(Executor):
    """At most `most` threads, started when they are needed. At the program's end they finish what they were given."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._queue: SimpleQueue[_Work | None] = SimpleQueue()
        self._lock = Lock()
        self._threads: list[Thread] = []
        self._open = 0
        self._left = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call `fn` in the next thread that is free."""
        future: Future[T] = Future()
        with self._lock:
            self._open += 1
            if len(self._threads) < min(self._most, self._open):
                self._start()
        self._queue.put((future, fn, args, kwargs))
        return future

    def leave(self) -> int:
        """Let the program end without those that still run. Returns how many calls that are."""
        with self._lock:
            self._left = True
            return self._open

    def _start(self) -> None:
        if not self._threads:
            atexit.register(self._finish)
        thread = Thread(target=self._work, name=f"fanmesh-worker_{len(self._threads)}", daemon=True)
        thread.start()
        self._threads.append(thread)

    def _work(self) -> None:
        while (given := self._queue.get()) is not None:
            self._do(*given)
            del given  # an answer is not kept until the next call

    def _do(self, future: Future[Any], fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not future.set_running_or_notify_cancel():
            self._over()
            return
        try:
            result = fn(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001  (whatever it is, it is the caller's)
            self._over()
            future.set_exception(error)
            del future  # the error's traceback knows this frame: a cycle
        else:
            self._over()
            future.set_result(result)

    def _over(self) -> None:
        """One call less, before its caller hears of it: who counts then counts what still runs."""
        with self._lock:
            self._open -= 1

    def _finish(self) -> None:
        if self._left:
            return
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()

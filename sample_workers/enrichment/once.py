"""Load a large table once per process, on first use.

`functools.cache` holds no lock while it calls: two first requests on two threads would both load, which costs a second of CPU
twice, and one of the libraries fills module globals while it loads. Loading at import would make `fanmesh check` and every
test that only names a worker pay for tables that it never reads.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import TypeVar

T = TypeVar("T")


def once(load: Callable[[], T]) -> Callable[[], T]:
    """A function that calls `load` once and returns that object ever after. A `load` that raises is tried again."""
    lock = Lock()
    loaded: list[T] = []

    def get() -> T:
        if not loaded:
            with lock:
                if not loaded:
                    loaded.append(load())
        return loaded[0]

    return get

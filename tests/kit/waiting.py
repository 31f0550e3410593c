"""Waiting for something that happens elsewhere: in another process or thread.

Bounded, and over as soon as the condition holds. Within one event loop nothing needs this: await the thing itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from fanmesh.runtime.clock import now_ns


def until(condition: Callable[[], bool], what: str, seconds: float = 10.0) -> None:
    """Return when `condition` holds; AssertionError, naming `what`, if it does not within `seconds`."""
    pause, deadline = threading.Event(), now_ns() + int(seconds * 1e9)
    while not condition():
        if now_ns() > deadline:
            raise AssertionError(f"waited {seconds} s in vain for: {what}")
        pause.wait(0.005)

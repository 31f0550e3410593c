"""Ending with one's parent: a process that `fanmesh dev` started must not outlive it, not even a parent that was killed.

By the end of a pipe and not by asking the kernel for a signal: it works on every system, and needs no code between fork and
exec.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Annotated, TypeAlias

from cyclopts import Parameter

Tied: TypeAlias = Annotated[bool, Parameter(show=False)]


def tie() -> None:
    """Send this process SIGTERM when its stdin ends."""
    threading.Thread(target=_wait, name="fanmesh-tie", daemon=True).start()


def _wait() -> None:
    descriptor = sys.stdin.fileno()  # not the buffered object, whose lock a daemon thread would hold at exit
    while os.read(descriptor, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)

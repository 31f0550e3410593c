"""Bench processes: modules of this folder or built programs, alive as long as their stdin is open, measured from outside.

CPU is what the kernel booked for the process and not what it says of itself, so that every subject is measured the same way,
all its threads included. It is read from the clock of the process, in nanoseconds, and not from /proc, which counts in ticks of
10 ms: too coarse for a few hundred requests of a tenth of a millisecond each.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Self, cast

ROOT = Path(__file__).parents[2]
CPUCLOCK_SCHED = 2
"""As Linux numbers the clocks of a process: user and system, of all threads (clock_getcpuclockid(3) makes the same number)."""


class Process:
    """`with Process("bench.fanout.floor", port) as floor:`; the first line it printed is `said`. A Path is a program to run."""

    def __init__(self, what: str | Path, *arguments: object, env: Mapping[str, str] | None = None) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the process)
        self._child = subprocess.Popen(
            [*([str(what)] if isinstance(what, Path) else [sys.executable, "-m", what]), *map(str, arguments)],
            cwd=ROOT,
            env={**os.environ, **(env or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self.said = self.line()

    def line(self) -> str:
        """The next line it prints; RuntimeError if it ends instead."""
        line = cast("IO[str]", self._child.stdout).readline()
        if not line:
            raise RuntimeError(f"{self._child.args!r} ended with {self._child.wait()}:\n{self.log()}")
        return line.strip()

    def tell(self, line: str) -> None:
        """Write it a line."""
        told = cast("IO[str]", self._child.stdin)
        told.write(f"{line}\n")
        told.flush()

    def log(self) -> str:
        """What it has logged so far."""
        return os.pread(self._log.fileno(), 2**26, 0).decode(errors="replace")

    def cpu(self) -> float:
        """Seconds of CPU so far, user and system."""
        return time.clock_gettime(~self._child.pid << 3 | CPUCLOCK_SCHED)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        cast("IO[str]", self._child.stdin).close()
        try:
            self._child.wait(10)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        cast("IO[str]", self._child.stdout).close()
        self._log.close()

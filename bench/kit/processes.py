"""Bench processes: started as modules of this folder, alive as long as their stdin is open, measured from outside.

CPU is what the kernel booked for the process and not what it says of itself, so that every subject is measured the same way,
all its threads included.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Self, cast

ROOT = Path(__file__).parents[2]
TICKS = os.sysconf("SC_CLK_TCK")


class Process:
    """`with Process("bench.fanout.floor", port) as floor:`; the first line it printed is `said`."""

    def __init__(self, module: str, *arguments: object, env: Mapping[str, str] | None = None) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the process)
        self._child = subprocess.Popen(
            [sys.executable, "-m", module, *map(str, arguments)],
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
        """Seconds of CPU so far, user and system, in steps of a tick (10 ms)."""
        fields = Path(f"/proc/{self._child.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

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

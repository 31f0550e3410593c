"""Programs that a test starts, listens to and ends. Every wait is bounded, and none outlives its test."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]

PATIENCE: Final = 20.0
"""Seconds for a program to say or do what is expected of it; starting Python on a busy machine takes several."""


class Program:
    """A running program; its standard output and error come as one text."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.heard: list[str] = []

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def says(self, pattern: str, within: float = PATIENCE) -> re.Match[str]:
        """The next line that holds `pattern`; AssertionError, with all it said, if none comes."""
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(within):
                while line := (await self._process.stdout.readline()).decode():
                    self.heard.append(line)
                    if found := re.search(pattern, line):
                        return found
        except TimeoutError:
            pass
        raise AssertionError(f"never said {pattern!r}, but: {''.join(self.heard) or 'nothing'}")

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    async def ended(self, within: float = PATIENCE) -> int:
        """Its exit code, negative for a signal; AssertionError if it goes on."""
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(within):
                self.heard.append((await self._process.stdout.read()).decode())
                return await self._process.wait()
        except TimeoutError:
            raise AssertionError(f"did not end, and said: {''.join(self.heard)}") from None

    async def kill(self) -> None:
        """End it if it still runs, also if it was stopped."""
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


@asynccontextmanager
async def program(
    *command: str | Path, environment: Mapping[str, str] | None = None, cwd: Path = ROOT
) -> AsyncIterator[Program]:
    """Start `command`; at the end it is killed if it still runs."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
        cwd=cwd,
    )
    started = Program(process)
    try:
        yield started
    finally:
        await started.kill()


def python(*arguments: str | Path) -> tuple[str, ...]:
    """A command that runs this Python."""
    return (sys.executable, *map(str, arguments))

"""A child process of `fanmesh dev`: started, heard, and ended for certain.

It runs in a session of its own, so that Ctrl-C in the terminal reaches only the parent, which then ends things in order; and it
is tied to the parent by a pipe, so that it also ends when the parent cannot order anything any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson

GRACE: Final = 5.0
"""Seconds between SIGTERM and SIGKILL."""

Say = Callable[[str], None]


class Child:
    """One process `fanmesh VERB … -o json --tied`. `ready` becomes its announcement, or None if it ended before one."""

    def __init__(self, label: str, arguments: Sequence[str], say: Say) -> None:
        self.label = label
        self.ready: asyncio.Future[dict[str, Any] | None] = asyncio.get_running_loop().create_future()
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._arguments = arguments
        self._say = say
        self._process: asyncio.subprocess.Process | None = None
        self._readers: list[asyncio.Task[None]] = []
        self._stopping = False

    @property
    def pid(self) -> int:
        """Its process id; 0 before it is started."""
        return self._process.pid if self._process is not None else 0

    @property
    def running(self) -> bool:
        """Whether it is there."""
        return self._process is not None and not self.ended.done()

    async def start(self) -> None:
        """Start it. What it prints is passed on, line by line, with its label before it."""
        pipe = asyncio.subprocess.PIPE
        self._process = process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-u",  # what a worker prints is seen when it is printed
            "-m",
            "fanmesh.cli",
            *self._arguments,
            "--tied",
            "-o",
            "json",
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            start_new_session=True,
        )
        self._readers = [
            asyncio.ensure_future(self._listen(process.stdout, announces=True)),
            asyncio.ensure_future(self._listen(process.stderr, announces=False)),
            asyncio.ensure_future(self._wait(process)),
        ]

    async def _listen(self, stream: asyncio.StreamReader | None, *, announces: bool) -> None:
        while stream is not None:
            try:
                line = await stream.readline()
            except ValueError:  # longer than the reader's buffer, which it has dropped
                continue
            if not line:
                return
            told = _document(line) if announces and not self.ready.done() else {}
            match told:
                case {"listen": _, "pid": _}:
                    self.ready.set_result(told)
                case {"error": {"message": message, **more}}:
                    self._say("\n  → ".join(filter(None, (f"{self.label} │ {message}", str(more.get("hint", ""))))))
                case _:
                    self._say(f"{self.label} │ {line.decode(errors='replace').rstrip()}")

    async def _wait(self, process: asyncio.subprocess.Process) -> None:
        code = await process.wait()
        await asyncio.wait(self._readers[:2], timeout=1.0)  # a grandchild may hold the pipes open
        if not self.ready.done():
            self.ready.set_result(None)
        self.ended.set_result(code)
        if not self._stopping:
            self._say(f"{self.label} ended ({_how(code)}); it is started again when its source is saved")

    async def stop(self, grace: float = GRACE) -> None:
        """SIGTERM, and SIGKILL after `grace` seconds. Returns when it is gone."""
        process = self._process
        if process is None:
            return
        self._stopping = True
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        done, _ = await asyncio.wait([self.ended], timeout=grace)
        if not done:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await self.ended
        await asyncio.gather(*self._readers, return_exceptions=True)


def _document(line: bytes) -> dict[str, Any]:
    """The JSON object on that line; empty if there is none."""
    try:
        told = orjson.loads(line)
    except orjson.JSONDecodeError:
        return {}
    return told if isinstance(told, dict) else {}


def _how(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"

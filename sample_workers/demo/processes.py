"""The processes of the demo: started, killed on purpose, and gone at the end whatever happened.

They are children of the public command line, but for one that knows nothing of Fanmesh, each tied to this process by a pipe:
they end when it does, even if it is killed and can end nothing itself. Each has a session of its own, so that Ctrl-C in the
terminal reaches only the demo, which then ends them in order.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from fanmesh.runtime import environ

FANMESH: Final = "fanmesh.cli"
STARTS_WITHIN: Final = 40.0
"""Seconds until a process must have said where it listens; a machine that is busy with other things takes ten."""
GRACE: Final = 3.0
"""Seconds between SIGTERM and SIGKILL."""
TAIL: Final = 12
"""Lines of its log that are shown of a process that did not start."""


class NotStarted(Exception):  # noqa: N818  (what happened to it)
    """A process ended, or stayed silent, instead of serving; the message says what it wrote last."""


class Process:
    """One `fanmesh VERB …`. `label` names it in logs and spans; `address` is where it listens once it is started.

    `module`: another program, which says where it listens as ours do, and ends when its standard input does.
    """

    def __init__(
        self,
        label: str,
        arguments: Sequence[str],
        directory: Path,
        variables: Mapping[str, str],
        module: str = FANMESH,
    ) -> None:
        self.label = label
        self.address = ""
        self.arguments = tuple(arguments)
        self.module = module
        self._log = directory / f"{label}.log"
        self._variables = {**variables, "OTEL_SERVICE_NAME": label}
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    @property
    def port(self) -> str:
        """Its port as people write it: `:50050`."""
        return f":{self.address.rpartition(':')[2]}"

    async def start(self) -> None:
        """Start it and wait until it serves. NotStarted if it does not."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-u", "-m", self.module, *self.arguments, *(("--tied", "-o", "json") if self.module == FANMESH else ())),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                env=environ.inherited(self._variables),
            )
        out = self._process.stdout
        assert out is not None  # noqa: S101  (asked for above; told to the type checker)
        try:
            async with asyncio.timeout(STARTS_WITHIN):
                self.address = await _announced(out)
        except (TimeoutError, EOFError):
            raise NotStarted(f"{self.label} does not serve; its log ends with:\n{self._tail()}") from None
        self._reader = asyncio.ensure_future(_discard(out))

    async def kill(self) -> None:
        """SIGKILL: no word to anybody, as a node that fails."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
        await self._gone()

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL for one that does not end."""
        if self._process is None:
            return
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GRACE):
                    await self._process.wait()
        await self.kill()

    async def _gone(self) -> None:
        if self._process is not None:
            await self._process.wait()
        if self._reader is not None:
            await self._reader

    def _tail(self) -> str:
        lines = self._log.read_text("utf-8", "replace").splitlines()[-TAIL:]
        return "\n".join(f"  {line}" for line in lines) or "  (nothing)"


async def _announced(out: asyncio.StreamReader) -> str:
    while line := await out.readline():
        with contextlib.suppress(json.JSONDecodeError):
            told: Any = json.loads(line)
            if isinstance(told, dict) and "listen" in told:
                return str(told["listen"])
    raise EOFError


async def _discard(out: asyncio.StreamReader) -> None:
    while await out.read(65536):
        pass

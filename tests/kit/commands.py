"""The command line as a person uses it: commands that end, programs that go on, and a project that runs."""

from __future__ import annotations

import json
import os
import queue
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import IO, Any

import pytest

from fanmesh.client import Client
from fanmesh.result import DispatchFailed

ADA = '{"name":"Ada"}'
FANMESH = str(Path(sys.executable).parent / "fanmesh")
WITHIN = 60.0
"""Seconds that anything may take on a busy machine; nothing asserts how long it took."""

CONFIG = """\
version: 1
workers:
  hello: {{target: "localhost:{p1}", effect: read}}
  slow: {{target: "localhost:{p2}", effect: read}}
plans:
  greet: {{budget: {{latency: 1s}}, branches: {{hello: {{required: true}}, slow: {{soft_timeout: 200ms}}}}}}
  only: {{budget: {{latency: 20s}}, branches: {{hello: {{}}}}}}
server: {{listen: "127.0.0.1:0", metrics: null{more}}}
dev: {{hello: "hello:hello", slow: "hello:slow"}}
"""


def free_ports(count: int) -> list[int]:
    """Ports that nobody has now."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [each.getsockname()[1] for each in held]
    finally:
        for each in held:
            each.close()


def gone(pid: int) -> bool:
    """Wait until that process has ended; False if it will not."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], WITHIN)[0])
    finally:
        os.close(descriptor)


class Running:
    """A program that goes on, and what it has printed."""

    def __init__(self, arguments: list[str], cwd: Path) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([FANMESH, *arguments], cwd=cwd, stdout=pipe, stderr=pipe, text=True)
        self.seen: list[str] = []
        self._lines: queue.SimpleQueue[tuple[bool, str | None]] = queue.SimpleQueue()
        self._readers = [
            threading.Thread(target=self._read, args=(stream, is_stdout), daemon=True)
            for stream, is_stdout in ((self.process.stdout, True), (self.process.stderr, False))
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream: IO[str], is_stdout: bool) -> None:  # noqa: FBT001  (internal)
        with stream:
            for line in stream:
                self._lines.put((is_stdout, line.rstrip("\n")))
        self._lines.put((is_stdout, None))

    def until(self, what: str, *, on_stdout: bool = False) -> str:
        """The next line that contains `what`."""
        ends = 0
        limit = monotonic() + WITHIN
        while ends < len(self._readers):
            try:
                is_stdout, line = self._lines.get(timeout=max(0.0, limit - monotonic()))
            except queue.Empty:
                break
            if line is None:
                ends += 1
                continue
            self.seen.append(line)
            if what in line and (is_stdout or not on_stdout):
                return line
        pytest.fail(f"no line with {what!r} in:\n" + "\n".join(self.seen))

    def told(self) -> dict[str, Any]:
        """The JSON document that it printed when it was ready."""
        out: dict[str, Any] = json.loads(self.until("{", on_stdout=True))
        return out

    def end(self, number: int = signal.SIGINT) -> int:
        """Ask it to end; its exit code."""
        self.process.send_signal(number)
        return self.process.wait(WITHIN)


@contextmanager
def running(*arguments: str, cwd: Path) -> Iterator[Running]:
    """A program that is certainly gone afterwards."""
    program = Running(list(arguments), cwd)
    try:
        yield program
    finally:
        if program.process.poll() is None:
            program.process.send_signal(signal.SIGTERM)
            try:
                program.process.wait(WITHIN)
            except subprocess.TimeoutExpired:
                program.process.kill()
                program.process.wait()


def fanmesh(*arguments: str, cwd: Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """One command."""
    return subprocess.run(
        [FANMESH, *arguments], cwd=cwd, input=stdin, capture_output=True, text=True, timeout=WITHIN, check=False
    )


def project(directory: Path, more: str = "") -> Path:
    """What `init` writes, on ports of its own."""
    assert fanmesh("init", str(directory), cwd=directory.parent).returncode == 0
    p1, p2 = free_ports(2)
    (directory / "fanmesh.yaml").write_text(CONFIG.format(p1=p1, p2=p2, more=more))
    return directory


class Dev:
    """A project that runs."""

    def __init__(self, program: Running, directory: Path) -> None:
        self.program = program
        self.directory = directory
        self.told = program.told()
        self.server = self.told["dispatcher"]["listen"]

    @property
    def pids(self) -> list[int]:
        """All its processes."""
        return [self.told["dispatcher"]["pid"], *(process["pid"] for process in self.told["processes"])]

    def call(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """`fanmesh call … --server …`."""
        return fanmesh("call", *arguments, "--server", self.server, cwd=self.directory, stdin=stdin)

    def becomes(self, check: Callable[[Client], bool]) -> None:
        """Ask until it holds; each question is a real call, so this does not spin."""
        limit = monotonic() + WITHIN
        with Client(self.server) as client:
            while monotonic() < limit:
                try:
                    if check(client):
                        return
                except DispatchFailed:
                    continue
        pytest.fail("it never came to hold; the program said:\n" + "\n".join(self.program.seen))


@contextmanager
def dev(directory: Path, *arguments: str) -> Iterator[Dev]:
    """`fanmesh dev` in a project, ready."""
    with running("dev", "-o", "json", *arguments, cwd=directory) as program:
        yield Dev(program, directory)

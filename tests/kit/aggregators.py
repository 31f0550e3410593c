"""An Aggregator service as a process, a cable to it that can be cut or held, and a dispatcher's side that collects effects."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import pytest

from dispatcher.policies import failover
from dispatcher.wire.aggregator_remote import RemoteAggregator
from dispatcher.wire.aggregator_session import RemoteSession
from fanmesh.model.events import Arm, Effect, Event, Result, Start, Update, Verdict
from fanmesh.model.times import MS
from fanmesh.model.values import Value
from fanmesh.runtime.clock import LoopClock
from fanmesh.transport.grpc_aio import GrpcTransport


async def until(condition: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    """Let the loop run until `condition` holds; AssertionError, naming `what`, if it does not in time."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not condition():
        assert loop.time() < deadline, f"waited {seconds} s in vain for: {what}"
        await asyncio.sleep(0.002)


class Process:
    """`python -m aggregator`, listening on `address`."""

    def __init__(self, listen: str, *options: str) -> None:
        command = [sys.executable, "-m", "aggregator", "--listen", listen, *options]
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        served = self.line("serving")
        self.address = str(served["listen"])

    def line(self, event: str) -> dict[str, object]:
        """Read its log up to the line that says `event`."""
        assert self._process.stderr is not None
        for line in self._process.stderr:
            with suppress(ValueError):
                said: dict[str, object] = json.loads(line)
                if said.get("event") == event:
                    return said
        raise AssertionError(f"it ended with {self._process.wait()} and never said {event!r}")

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def end(self) -> int:
        """Wait until it has ended, and return its exit code."""
        code = self._process.wait(timeout=20)
        if self._process.stderr is not None:
            self._process.stderr.close()
        return code

    def destroy(self) -> None:
        """Make sure that it is gone."""
        self._process.kill()
        self.end()


class Cable:
    """A TCP proxy. `forth` and `back` let bytes through while they are set."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.forth = asyncio.Event()
        self.back = asyncio.Event()
        self.forth.set()
        self.back.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def plug(self) -> str:
        """Connect it; where it listens."""
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0, limit=4096)
        port: int = self._server.sockets[0].getsockname()[1]
        return f"127.0.0.1:{port}"

    async def unplug(self) -> None:
        """Cut it."""
        assert self._server is not None
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(str(self._path), limit=4096)
        for source, sink, gate in ((reader, back, self.forth), (there, writer, self.back)):
            task = asyncio.ensure_future(self._pump(source, sink, gate))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, gate: asyncio.Event) -> None:
        try:
            while data := await source.read(4096):
                await gate.wait()
                sink.write(data)
                await sink.drain()
        except OSError:
            pass
        finally:
            sink.close()


@contextmanager
def patience() -> Iterator[None]:
    """Silence is forgiven for a quarter of what remains: for set-up on a machine that is busy with other things."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(failover, "MOST", failover.MOST * 1000)
        yield


class Told:
    """One session and all it delivers; `log` is the given one with a reserve in ms. Snapshots are read as they come."""

    def __init__(self, aggregator: RemoteAggregator, log: list[Event], reserve: int = 2000) -> None:
        start = log[0].what
        assert isinstance(start, Start)
        start = start._replace(total=start.stop + reserve * MS)
        self.log = [log[0]._replace(what=start), *log[1:]]
        self.end = aggregator.clock.now() + start.total
        self.clock = aggregator.clock
        self.effects: list[Effect] = []
        self.snapshots: list[Value] = []
        self.result: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self.answered_at = 0
        self.session: RemoteSession = aggregator.open(self._deliver, self.end)

    def _deliver(self, effect: Effect) -> None:
        if isinstance(effect, Update):
            self.snapshots.append(effect.read()[0])
            return
        self.effects.append(effect)
        if isinstance(effect, Verdict):
            self.session.finish()
        elif isinstance(effect, Result):
            self.answered_at = self.clock.now()
            self.result.set_result(effect)

    def feed(self, events: Iterable[Event]) -> None:
        """Feed without waiting for room."""
        for event in events:
            self.session.feed(event)

    @property
    def in_time(self) -> bool:
        """Whether the result was there before the request's deadline."""
        return 0 < self.answered_at < self.end

    @property
    def acknowledged(self) -> bool:
        """Whether the aggregator has folded all that was fed."""
        return self.session.settled

    @property
    def decisive(self) -> list[Effect]:
        """Verdict and result, without alarms."""
        return [effect for effect in self.effects if not isinstance(effect, Arm)]


@asynccontextmanager
async def dialled(address: str, *, acks: bool = True) -> AsyncIterator[tuple[RemoteAggregator, list[str]]]:
    """A dispatcher's side of the aggregator at `address`, and the reasons of its fallbacks. Nothing is left running."""
    why: list[str] = []
    clock = LoopClock(asyncio.get_running_loop())
    aggregator = RemoteAggregator(GrpcTransport(), address, clock, why.append, acks=acks)
    try:
        yield aggregator, why
    finally:
        await aggregator.aclose()
        assert aggregator.running == 0

"""Workers that play a part: those that answer, and those that lie, break off, or never say anything.

What a worker of ours cannot be made to say (bytes that are no message, a confidence of NaN) is said by raw handlers.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from fanmesh.model.fault import Code
from fanmesh.transport.port import ServerCall, StatusError
from fanmesh.v1 import payload_pb2, worker_pb2
from fanmesh.workers import Context, Fault, Worker, worker
from tests.kit.mesh import Raw


@worker("echo")
async def echo(data: Any) -> Any:
    """Answers with its input."""
    return data


def says(value: Any, name: str = "says") -> Worker[Any]:
    """Answers with `value`."""

    @worker(name)
    async def said() -> Any:
        return value

    return said


def fails(code: Code, detail: str = "as asked") -> Worker[Any]:
    """Ends every call with this status."""

    @worker("fails")
    async def failed() -> Any:
        raise Fault.of(code, detail)

    return failed


class Hanging:
    """Never answers. `called` and `cancelled` say what its calls have seen; `contexts` are theirs.

    `left`: the seconds that each had left when it was cancelled.
    """

    def __init__(self) -> None:
        self.called = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.contexts: list[Context] = []
        self.left: list[float | None] = []

        @worker("hangs")
        async def hangs(ctx: Context) -> Any:
            self.contexts.append(ctx)
            self.called.set()
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                self.left.append(ctx.remaining())
                self.cancelled.set()
                raise

        self.worker: Worker[Any] = hangs


class Gated:
    """Answers with `value` once `open` is set."""

    def __init__(self, value: Any) -> None:
        self.open = asyncio.Event()
        self._calls = asyncio.Semaphore(0)

        @worker("gated")
        async def gated() -> Any:
            self._calls.release()
            await self.open.wait()
            return value

        self.worker: Worker[Any] = gated

    async def all_called(self, count: int) -> None:
        """Wait until so many further calls have come."""
        for _ in range(count):
            await self._calls.acquire()

    @property
    def called_again(self) -> bool:
        """Whether more have come than were waited for."""
        return not self._calls.locked()


def raw_answer(raw: bytes) -> Raw:
    """Answers every unary call with these bytes."""

    async def process(_: bytes, __: ServerCall) -> bytes:
        return raw

    return Raw(unary=process)


def message(**fields: Any) -> Raw:
    """Answers with a ProcessResponse of these fields, whatever they say."""
    return raw_answer(worker_pb2.ProcessResponse(**fields).SerializeToString())


def parts(*sent: worker_pb2.ProcessStreamResponse | bytes, then: StatusError | None = None) -> Raw:
    """Sends these parts, then ends well, or as `then` says."""

    async def process(_: bytes, __: ServerCall) -> AsyncIterator[bytes]:
        for one in sent:
            yield one if isinstance(one, bytes) else one.SerializeToString()
        if then is not None:
            raise then

    return Raw(stream=process)


def part(json: str, *, replace: bool = False, **fields: Any) -> worker_pb2.ProcessStreamResponse:
    """A part with this JSON."""
    mode = worker_pb2.PART_MODE_REPLACE if replace else worker_pb2.PART_MODE_APPEND
    return worker_pb2.ProcessStreamResponse(part=payload_pb2.Payload(json=json), mode=mode, **fields)

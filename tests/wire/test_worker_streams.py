"""Workers that answer in parts, on real sockets."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from fanmesh.model.fault import Code, Fault
from fanmesh.payload import from_value, to_value
from fanmesh.transport.port import RpcError
from fanmesh.v1 import worker_pb2
from fanmesh.workers import Context, worker
from tests.kit.served import PROCESS_STREAM, geo, process, refused, served, stream, words


@pytest.mark.asyncio
async def test_parts_are_streamed_as_they_are_yielded() -> None:
    """A bare value is APPEND, Replace is REPLACE, and what is reported after the last part comes with an empty one."""
    async with served(words) as channel:
        parts = await stream(channel, {"parts": [["a"], {"replace": ["b"]}, ["c"]]})
        assert [(to_value(p.part), p.mode) for p in parts] == [
            (["a"], worker_pb2.PART_MODE_APPEND),
            (["b"], worker_pb2.PART_MODE_REPLACE),
            (["c"], worker_pb2.PART_MODE_APPEND),
            (None, worker_pb2.PART_MODE_APPEND),
        ]
        assert [p.usage.output_tokens for p in parts] == [0, 0, 0, 9]


@pytest.mark.asyncio
async def test_process_on_a_streaming_worker_is_the_sum_of_its_parts() -> None:
    """Folded by the rules of APPEND and REPLACE; parts that do not add up are the worker's defect."""
    async with served(words) as channel:
        parts = [{"t": "a", "l": [1]}, {"t": "b", "l": [2], "m": 1}]
        assert to_value((await process(channel, {"parts": parts})).output) == {"t": "ab", "l": [1, 2], "m": 1}
        response = await process(channel, {"parts": ["x", {"replace": 1}, {"replace": 2}]})
        assert (to_value(response.output), response.usage.output_tokens) == (2, 9)
        assert to_value((await process(channel, {"parts": []})).output) is None
        error = await refused(channel, {"parts": [{"n": 1}, {"n": 2}]})
        assert (error.code, error.message.split(":")[0]) == (Code.INTERNAL, "the parts do not add up")


@pytest.mark.asyncio
async def test_process_stream_on_a_worker_that_answers_once_is_one_part() -> None:
    """The whole, as REPLACE, with what it reported."""
    async with served(geo) as channel:
        (part,) = await stream(channel, {"ip": "fr"})
        assert (to_value(part.part), part.mode, part.confidence) == ({"country": "FR"}, worker_pb2.PART_MODE_REPLACE, 0.5)


@pytest.mark.asyncio
async def test_a_stream_that_fails_gives_its_parts_and_then_the_status() -> None:
    """Whatever it raises, and whatever it yields that is not JSON."""

    @worker
    async def breaks(how: str) -> AsyncIterator[Any]:
        yield "part"
        if how == "nan":
            yield float("nan")
        if how == "fault":
            raise Fault.unavailable("gone")
        raise RuntimeError("secret")

    async with served(breaks) as channel:
        for how, code, message in (
            ("nan", Code.INTERNAL, "the answer is not JSON: nan is not JSON"),
            ("fault", Code.UNAVAILABLE, "gone"),
            ("crash", Code.INTERNAL, "RuntimeError"),
        ):
            request = worker_pb2.ProcessStreamRequest(input=from_value(how))
            parts = channel.stream(PROCESS_STREAM, request.SerializeToString(), timeout=5)
            assert to_value(worker_pb2.ProcessStreamResponse.FromString(await anext(parts)).part) == "part"
            with pytest.raises(RpcError) as e:
                await anext(parts)
            assert (e.value.code, e.value.message) == (code, message)
            await parts.aclose()


@pytest.mark.asyncio
async def test_leaving_a_stream_ends_the_generator() -> None:
    """Its `finally` runs at the worker, and the context says that nobody waits."""
    contexts: list[Context] = []
    closed = asyncio.Event()

    @worker
    async def endless(ctx: Context) -> AsyncIterator[str]:
        contexts.append(ctx)
        try:
            yield "first"
            await asyncio.get_running_loop().create_future()
        finally:
            closed.set()

    async with served(endless) as channel:
        parts = channel.stream(PROCESS_STREAM, worker_pb2.ProcessStreamRequest().SerializeToString())
        await anext(parts)
        await parts.aclose()
        await asyncio.wait_for(closed.wait(), 5)
        assert contexts[0].cancelled

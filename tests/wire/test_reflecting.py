"""Reflection as a client: servers answer in different ways, some of them wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

from fanmesh.model.fault import Code
from fanmesh.transport.grpc_aio import GrpcTransport
from fanmesh.transport.port import Channel, Routes, ServerCall, StatusError
from fanmesh.transport.reflecting import PATHS, Unreflected, describe

pytestmark = pytest.mark.asyncio

Answer = Callable[[ServerReflectionRequest], ServerReflectionResponse | bytes | None]

FILES: Final = {
    name: FileDescriptorProto(name=name, dependency=imports)
    for name, imports in {
        "shop.proto": ["money.proto", "google/protobuf/timestamp.proto"],
        "money.proto": ["common.proto"],
        "common.proto": [],
    }.items()
}


def files(*names: str) -> ServerReflectionResponse:
    """A response with these files."""
    sent = [FILES[name].SerializeToString() for name in names]
    return ServerReflectionResponse(file_descriptor_response={"file_descriptor_proto": sent})


def error(code: Code, text: str) -> ServerReflectionResponse:
    """A refusal."""
    return ServerReflectionResponse(error_response={"error_code": int(code), "error_message": text})


@asynccontextmanager
async def answering(answer: Answer) -> AsyncIterator[Channel]:
    """A server that has v1 only, and answers so; None ends the call."""

    async def info(requests: AsyncIterator[bytes], call: ServerCall) -> None:
        async for raw in requests:
            told = answer(ServerReflectionRequest.FromString(raw))
            if told is None:
                return
            await call.write(told if isinstance(told, bytes) else told.SerializeToString())

    server = GrpcTransport().server("127.0.0.1:0", Routes(duplex={PATHS[0]: info}))
    await server.start()
    channel = GrpcTransport().connect(f"127.0.0.1:{server.port}")
    try:
        yield channel
    finally:
        await channel.close()
        await server.stop()


def names(data: bytes) -> set[str]:
    """The files of a set."""
    return {file.name for file in FileDescriptorSet.FromString(data).file}


async def test_a_server_that_sends_one_file_at_a_time_is_asked_for_the_rest() -> None:
    """Whatever is imported, through as many files as it takes; only protobuf's own may be missing."""
    asked: list[str] = []

    def one(request: ServerReflectionRequest) -> ServerReflectionResponse:
        asked.append(request.file_containing_symbol or request.file_by_filename)
        if request.file_containing_symbol:
            return files("shop.proto")
        return files(asked[-1]) if asked[-1] in FILES else error(Code.NOT_FOUND, "not here")

    async with answering(one) as channel:
        assert names(await describe(channel, "shop.S", 20.0)) == set(FILES)
    assert asked == ["shop.S", "google/protobuf/timestamp.proto", "money.proto", "common.proto"]


async def test_a_server_that_sends_all_at_once_is_asked_once() -> None:
    """For the files; what it has left out of protobuf's own is asked for in vain."""
    asked: list[str] = []

    def everything(request: ServerReflectionRequest) -> ServerReflectionResponse:
        asked.append(request.WhichOneof("message_request") or "")
        return files(*FILES) if request.file_containing_symbol else error(Code.NOT_FOUND, "no")

    async with answering(everything) as channel:
        assert names(await describe(channel, "shop.S", 20.0)) == set(FILES)
    assert asked == ["file_containing_symbol", "file_by_filename"]


def refuse(_request: ServerReflectionRequest) -> ServerReflectionResponse:
    raise StatusError(Code.PERMISSION_DENIED, "not for you")


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda _: error(Code.NOT_FOUND, "no symbol shop.S"), "no symbol shop.S"),
        (lambda _: error(Code.NOT_FOUND, ""), "code 5"),
        (lambda _: None, "the server ended the call instead of answering"),
        (lambda _: b"\xff", "the answer is no ServerReflectionResponse"),
        (
            lambda _: ServerReflectionResponse(file_descriptor_response={"file_descriptor_proto": [b"\xff"]}),
            "the answer holds no FileDescriptorProto",
        ),
        (lambda asked: files("money.proto") if asked.file_containing_symbol else error(Code.NOT_FOUND, "lost"), "lost"),
        (refuse, "PERMISSION_DENIED: not for you"),
    ],
)
async def test_what_a_server_does_not_say_is_said(answer: Any, says: str) -> None:
    """In its words, if it has any."""
    async with answering(answer) as channel:
        with pytest.raises(Unreflected) as silent:
            await describe(channel, "shop.S", 20.0)
    assert str(silent.value) == says


async def test_a_server_that_imports_without_end_is_left() -> None:
    """Each file names the next one: at some point it is enough."""

    def next_one(request: ServerReflectionRequest) -> ServerReflectionResponse:
        number = int(request.file_by_filename.removesuffix(".proto") or 0)
        file = FileDescriptorProto(name=f"{number}.proto", dependency=[f"{number + 1}.proto"])
        sent = [file.SerializeToString()]
        return ServerReflectionResponse(file_descriptor_response={"file_descriptor_proto": sent})

    async with answering(next_one) as channel:
        with pytest.raises(Unreflected, match="more than 2000 files"):
            await describe(channel, "shop.S", 60.0)


async def test_our_own_servers_are_read_by_the_older_version() -> None:
    """They have v1alpha only: what is not there is asked for in the other way."""
    server = GrpcTransport().server("127.0.0.1:0", Routes())
    await server.start()
    channel = GrpcTransport().connect(f"127.0.0.1:{server.port}")
    try:
        assert names(await describe(channel, "grpc.health.v1.Health", 20.0)) == {"grpc_health/v1/health.proto"}
    finally:
        await channel.close()
        await server.stop()

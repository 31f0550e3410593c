"""Asking a server what it serves: gRPC server reflection, as a client.

Both versions of the protocol are tried, v1 first: older servers have only v1alpha, newer ones may have only v1, and their
messages have the same bytes. Servers differ in what they send: some all files that a file imports, some only the one asked for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.message import DecodeError
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

from fanmesh.model.fault import Code
from fanmesh.transport.port import Channel, Duplex, RpcError

PATHS: Final = tuple(f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo" for version in ("v1", "v1alpha"))

MAX_FILES: Final = 2000
MAX_BYTES: Final = 16 * 2**20
"""More than that is no description of one service."""

Ask = Callable[[ServerReflectionRequest], Awaitable[ServerReflectionResponse]]


class Unreflected(Exception):  # noqa: N818  (what the server is)
    """The server does not say what it serves. The text says why."""


async def describe(channel: Channel, symbol: str, timeout: float) -> bytes:  # noqa: ASYNC109  (gRPC's deadline: it travels)
    """A serialised FileDescriptorSet with the file that declares `symbol` and all it imports.

    Files of `google/protobuf/` may be missing: many servers do not show them. `timeout` in seconds for all of it. Raises
    Unreflected.
    """
    for path in PATHS:
        try:
            return await _describe(channel, path, symbol, timeout)
        except RpcError as error:
            if error.code is not Code.UNIMPLEMENTED:
                raise Unreflected(str(error)) from None
    raise Unreflected("the server has no reflection service")


async def _describe(channel: Channel, path: str, symbol: str, timeout: float) -> bytes:  # noqa: ASYNC109  (gRPC's deadline)
    call = channel.duplex(path, timeout=timeout)
    try:

        async def ask(request: ServerReflectionRequest) -> ServerReflectionResponse:
            return await _asked(call, request)

        files = await _files(ask, symbol)
        await call.half_close()
    finally:
        await call.aclose()
    return FileDescriptorSet(file=files.values()).SerializeToString()


async def _asked(call: Duplex, request: ServerReflectionRequest) -> ServerReflectionResponse:
    await call.write(request.SerializeToString())
    answer = await call.read()
    if answer is None:
        raise Unreflected("the server ended the call instead of answering")
    try:
        response: ServerReflectionResponse = ServerReflectionResponse.FromString(answer)
    except DecodeError:
        raise Unreflected("the answer is no ServerReflectionResponse") from None
    if response.WhichOneof("message_response") == "error_response":
        told = response.error_response
        raise Unreflected(told.error_message or f"code {told.error_code}")
    return response


async def _files(ask: Ask, symbol: str) -> dict[str, FileDescriptorProto]:
    files: dict[str, FileDescriptorProto] = {}
    size = _take(await ask(ServerReflectionRequest(file_containing_symbol=symbol)), files)
    absent: set[str] = set()
    while wanted := sorted({name for file in files.values() for name in file.dependency} - files.keys() - absent):
        for name in wanted:
            if name in files:
                continue
            try:
                size += _take(await ask(ServerReflectionRequest(file_by_filename=name)), files)
            except Unreflected:
                if not name.startswith("google/protobuf/"):
                    raise
            absent.add(name)  # also if it sent another file in its place: it is not asked twice
            if len(files) > MAX_FILES or size > MAX_BYTES:
                raise Unreflected(f"more than {MAX_FILES} files or {MAX_BYTES} bytes of them")
    return files


def _take(response: ServerReflectionResponse, files: dict[str, FileDescriptorProto]) -> int:
    size = 0
    for raw in response.file_descriptor_response.file_descriptor_proto:
        try:
            file = FileDescriptorProto.FromString(raw)
        except DecodeError:
            raise Unreflected("the answer holds no FileDescriptorProto") from None
        files.setdefault(file.name, file)
        size += len(raw)
    return size

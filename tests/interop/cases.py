"""gRPC's interoperability cases by their published names, and some of ours, for a channel of either transport.

The names and what each asks are those of gRPC's "Interoperability Test Case Descriptions". Ours are `fanmesh_…`: what that
document leaves out and a fan-out meets every day.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

import pytest
from google.protobuf.wrappers_pb2 import StringValue
from google.rpc.status_pb2 import Status

from fanmesh.model.fault import Code
from fanmesh.transport.port import MIB, Channel, Duplex, Metadata, RpcError
from fanmesh.transport.status import DETAILS
from tests.interop.service import INITIAL, SERVICE, TRAILING, WANTED, only, pb

Case: TypeAlias = Callable[[Channel], Awaitable[None]]

PATIENCE: Final = 30.0
REQUESTS: Final = (27182, 8, 1828, 45904)
RESPONSES: Final = (31415, 9, 2653, 58979)
SPECIAL: Final = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"
FIRST: Final = (INITIAL, "test_initial_metadata_value")
LAST: Final = (TRAILING, b"\x0a\x0b\x0a\x0b\x0a\x0b")
LARGE: Final = 3 * MIB
"""Below every implementation's limit of 4 MiB, above every frame and window."""


def request(size: int = 0, response: int = 0, **more: Any) -> bytes:
    """A SimpleRequest."""
    return bytes(pb.SimpleRequest(response_size=response, payload=pb.Payload(body=bytes(size)), **more).SerializeToString())


def streamed(*sizes: int, size: int = 0, pause_us: int = 0, **more: Any) -> bytes:
    """A StreamingOutputCallRequest for answers of these sizes."""
    parameters = [pb.ResponseParameters(size=one, interval_us=pause_us) for one in sizes]
    asked = pb.StreamingOutputCallRequest(response_parameters=parameters, payload=pb.Payload(body=bytes(size)), **more)
    return bytes(asked.SerializeToString())


def length(answer: bytes | None) -> int:
    """Bytes in the payload of a streamed answer."""
    assert answer is not None
    return len(pb.StreamingOutputCallResponse.FromString(answer).payload.body)


async def unary(channel: Channel, method: str, payload: bytes, metadata: Metadata = ()) -> tuple[Any, Metadata]:
    """A SimpleResponse and the trailers."""
    reply = await channel.unary(SERVICE + method, payload, timeout=PATIENCE, metadata=metadata)
    return pb.SimpleResponse.FromString(reply.payload), reply.trailers


async def failing(call: Awaitable[Any]) -> RpcError:
    """The failure of a call that must fail."""
    with pytest.raises(RpcError) as e:
        await call
    return e.value


async def empty_unary(channel: Channel) -> None:
    """Nothing in, nothing out."""
    assert (await channel.unary(f"{SERVICE}EmptyCall", b"", timeout=PATIENCE)).payload == b""


async def large_unary(channel: Channel) -> None:
    """Sizes above a frame and the first window, both ways."""
    answer, _ = await unary(channel, "UnaryCall", request(271828, 314159))
    assert len(answer.payload.body) == 314159


async def client_streaming(channel: Channel) -> None:
    """Many requests, one answer."""
    call = channel.duplex(f"{SERVICE}StreamingInputCall", timeout=PATIENCE)
    for size in REQUESTS:
        await call.write(pb.StreamingInputCallRequest(payload=pb.Payload(body=bytes(size))).SerializeToString())
    await call.half_close()
    answer = await call.read()
    assert pb.StreamingInputCallResponse.FromString(answer).aggregated_payload_size == 74922
    assert await call.read() is None
    await call.aclose()


async def server_streaming(channel: Channel) -> None:
    """One request, many answers."""
    stream = channel.stream(f"{SERVICE}StreamingOutputCall", streamed(*RESPONSES), timeout=PATIENCE)
    assert [length(answer) async for answer in stream] == list(RESPONSES)
    await stream.aclose()


async def ping_pong(channel: Channel) -> None:
    """Each request waits for the answer to the one before it."""
    call = channel.duplex(f"{SERVICE}FullDuplexCall", timeout=PATIENCE)
    for size, answer in zip(REQUESTS, RESPONSES, strict=True):
        await call.write(streamed(answer, size=size))
        assert length(await call.read()) == answer
    await call.half_close()
    assert await call.read() is None
    await call.aclose()


async def empty_stream(channel: Channel) -> None:
    """No request, no answer, a good end."""
    call = channel.duplex(f"{SERVICE}FullDuplexCall", timeout=PATIENCE)
    await call.half_close()
    assert await call.read() is None
    await call.aclose()


async def custom_metadata(channel: Channel) -> None:
    """Text comes back before the answer, bytes after it; a unary call is read as a stream, which has both."""
    stream = channel.stream(f"{SERVICE}UnaryCall", request(1, 1), timeout=PATIENCE, metadata=(FIRST, LAST))
    assert len([answer async for answer in stream]) == 1
    assert (only(stream.headers, INITIAL), only(stream.trailers, TRAILING)) == ((FIRST,), (LAST,))
    await stream.aclose()
    call = channel.duplex(f"{SERVICE}FullDuplexCall", timeout=PATIENCE, metadata=(FIRST, LAST))
    await call.write(streamed(1, size=1))
    assert length(await call.read()) == 1
    await call.half_close()
    assert await call.read() is None
    assert (only(call.headers, INITIAL), only(call.trailers, TRAILING)) == ((FIRST,), (LAST,))
    await call.aclose()


async def status_code_and_message(channel: Channel) -> None:
    """A status that a handler chooses, of a unary and of a streamed call."""
    status = pb.EchoStatus(code=2, message="test status message")
    error = await failing(unary(channel, "UnaryCall", request(response_status=status)))
    assert (error.code, error.message) == (Code.UNKNOWN, status.message)
    call = channel.duplex(f"{SERVICE}FullDuplexCall", timeout=PATIENCE)
    await call.write(streamed(response_status=status))
    await call.half_close()
    error = await failing(call.read())
    assert (error.code, error.message) == (Code.UNKNOWN, status.message)
    await call.aclose()


async def special_status_message(channel: Channel) -> None:
    """Unicode and white space in a status."""
    error = await failing(unary(channel, "UnaryCall", request(response_status=pb.EchoStatus(code=2, message=SPECIAL))))
    assert (error.code, error.message) == (Code.UNKNOWN, SPECIAL)


async def unimplemented_method(channel: Channel) -> None:
    """UNIMPLEMENTED."""
    assert (await failing(channel.unary(f"{SERVICE}UnimplementedCall", b"", timeout=PATIENCE))).code is Code.UNIMPLEMENTED


async def unimplemented_service(channel: Channel) -> None:
    """UNIMPLEMENTED."""
    path = "/grpc.testing.UnimplementedService/UnimplementedCall"
    assert (await failing(channel.unary(path, b"", timeout=PATIENCE))).code is Code.UNIMPLEMENTED


async def cancel_after_begin(channel: Channel) -> None:
    """A call that is cancelled before it has sent a message."""
    call = channel.duplex(f"{SERVICE}StreamingInputCall", timeout=PATIENCE)
    await cancelled(call)


async def cancelled(call: Duplex) -> None:
    """End a call that somebody reads: the reader is told."""
    reading = asyncio.ensure_future(call.read())
    await asyncio.wait((reading,), timeout=0)
    await call.aclose()
    assert (await failing(reading)).code is Code.CANCELLED


async def cancel_after_first_response(channel: Channel) -> None:
    """A call that is cancelled in the middle."""
    call = channel.duplex(f"{SERVICE}FullDuplexCall", timeout=PATIENCE)
    await call.write(streamed(31415, size=27182))
    assert length(await call.read()) == 31415
    await cancelled(call)


async def timeout_on_sleeping_server(channel: Channel) -> None:
    """A deadline of a millisecond, on a server that would not answer."""
    call = channel.duplex(f"{SERVICE}FullDuplexCall", timeout=0.001)
    try:
        await call.write(streamed(size=27182))
    except RpcError as e:
        assert e.code is Code.DEADLINE_EXCEEDED  # noqa: PT017  (it may be over before the write)
    assert (await failing(call.read())).code is Code.DEADLINE_EXCEEDED
    await call.aclose()


OFFICIAL: Final[dict[str, Case]] = {
    case.__name__: case
    for case in (
        *(empty_unary, large_unary, client_streaming, server_streaming, ping_pong, empty_stream, custom_metadata),
        *(status_code_and_message, special_status_message, unimplemented_method, unimplemented_service),
        *(cancel_after_begin, cancel_after_first_response, timeout_on_sleeping_server),
    )
}


async def fanmesh_deadline(channel: Channel) -> None:
    """A deadline that passes while the peer is at work, long after it has been told of the call."""
    stream = channel.stream(f"{SERVICE}StreamingOutputCall", streamed(1, 1, pause_us=30_000_000), timeout=0.3)
    error = await failing(stream.__anext__())
    assert (error.code, error.local_deadline) == (Code.DEADLINE_EXCEEDED, True)
    await stream.aclose()


async def fanmesh_large(channel: Channel) -> None:
    """Megabytes both ways at once, in one message and in many."""
    answer, _ = await unary(channel, "UnaryCall", request(LARGE, LARGE))
    assert len(answer.payload.body) == LARGE
    call = channel.duplex(f"{SERVICE}FullDuplexCall", timeout=PATIENCE)

    async def write() -> None:
        for _ in range(3):
            await call.write(streamed(LARGE, 1, size=LARGE))
        await call.half_close()

    writing = asyncio.ensure_future(write())  # who reads only after having written stops both ends: flow control works
    sizes = [length(await call.read()) for _ in range(6)]
    assert (sizes, await call.read(), await writing) == ([LARGE, 1] * 3, None, None)
    await call.aclose()


async def fanmesh_binary_metadata(channel: Channel) -> None:
    """Bytes of every length modulo three, with every value, and none at all."""
    for value in (b"\0", b"\0\xff", b"\xff\xfe\xfd", bytes(range(256)), b""):
        _, trailers = await unary(channel, "UnaryCall", request(), ((TRAILING, value),))
        assert only(trailers, TRAILING) == ((TRAILING, value),)


async def fanmesh_odd_messages(channel: Channel) -> None:
    """What looks encoded, and what is long."""
    for message in ("100% %41 %", "+", "x" * 1000):
        error = await failing(unary(channel, "UnaryCall", request(response_status=pb.EchoStatus(code=9, message=message))))
        assert (error.code, error.message) == (Code.FAILED_PRECONDITION, message), (message[:20], error)


async def fanmesh_gzip_answer(channel: Channel) -> None:
    """An answer that the peer compresses, and one that it does not; port and callers see no difference."""
    for wanted in (True, False):
        answer, _ = await unary(channel, "UnaryCall", request(1, LARGE, response_compressed=pb.BoolValue(value=wanted)))
        assert len(answer.payload.body) == LARGE


def rich(message: str) -> Status:
    """A status with a detail of a type that everybody knows."""
    status = Status(code=9, message=message)
    status.details.add().Pack(StringValue(value="ö" * 50))
    return status


async def fanmesh_rich_status(channel: Channel) -> None:
    """`grpc-status-details-bin` as the peer's own library sends it."""
    status = rich("no")
    wanted = ((WANTED, status.SerializeToString()),)
    asked = request(response_status=pb.EchoStatus(code=9, message="no"))
    error = await failing(unary(channel, "UnaryCall", asked, wanted))
    assert (error.code, error.message) == (Code.FAILED_PRECONDITION, "no")
    (details,) = only(error.trailers, DETAILS)
    assert Status.FromString(details[1]) == status  # type: ignore[arg-type]  # bytes, under this key


OURS: Final[dict[str, Case]] = {
    case.__name__: case
    for case in (fanmesh_deadline, fanmesh_large, fanmesh_binary_metadata, fanmesh_odd_messages, fanmesh_rich_status)
}
PUBLISHED: Final = {**OFFICIAL, **{name: case for name, case in OURS.items() if case is not fanmesh_rich_status}}
"""What a server can be asked that knows the published service alone."""
EVERY: Final = {**OFFICIAL, **OURS}
COMPRESSED: Final = {**EVERY, "fanmesh_gzip_answer": fanmesh_gzip_answer}
"""The same of a server that compresses answers when asked."""
ASKED: Final = (*EVERY, "fanmesh_gzip")
"""What foreign programs ask of us: of one call they compress the request, which the port can only for a whole channel."""


async def outcomes(channel: Channel, cases: dict[str, Case]) -> dict[str, str]:
    """What became of each case: "ok", or what went wrong."""
    told: dict[str, str] = {}
    for name, case in cases.items():
        try:
            await case(channel)
        except (AssertionError, RpcError, pytest.fail.Exception) as e:
            told[name] = f"{type(e).__name__}: {str(e)[:300]}"
        else:
            told[name] = "ok"
    return told

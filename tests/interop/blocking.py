"""gRPC's test service and its published cases with grpcio's blocking API and the stubs that protoc generates.

A program like those in the other languages: `server [CERT KEY [CA]]` says where it listens and serves until it is killed,
`client ADDRESS [CA [CERT KEY]]` says of each case what became of it. With a CA a server wants a certificate of it from each
caller; with CERT and KEY a client has one to show. Blocking calls cannot share a thread with the server they call.
"""

# ruff: noqa: D102  (methods are called as gRPC publishes them, and say there what they are)
from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from threading import Event
from typing import Any, Final

import grpc

from tests.interop.cases import FIRST, LARGE, LAST, PATIENCE, REQUESTS, RESPONSES, SPECIAL, rich
from tests.interop.service import INITIAL, PROTO, TRAILING, WANTED, only, pb
from tests.kit.protos import stubs

services: Final[Any] = stubs(PROTO)[1]

DETAILS: Final = "grpc-status-details-bin"


def payload(size: int) -> Any:
    """So many bytes."""
    return pb.Payload(body=bytes(size))


def asking(*sizes: int, size: int = 0, **more: Any) -> Any:
    """A request for answers of these sizes."""
    parameters = [pb.ResponseParameters(size=one) for one in sizes]
    return pb.StreamingOutputCallRequest(response_parameters=parameters, payload=payload(size), **more)


# ---------------------------------------------------------------- server


class Servicer(services.TestServiceServicer):  # type: ignore[misc]  # generated when it is imported
    """The handlers."""

    def _echo(self, context: Any) -> None:
        asked = tuple(context.invocation_metadata())
        if initial := only(asked, INITIAL):
            context.send_initial_metadata(initial)
        details = tuple((DETAILS, value) for _, value in only(asked, WANTED))
        context.set_trailing_metadata((*only(asked, TRAILING), *details))

    def _fail(self, status: Any, context: Any) -> None:
        if status.code:
            code = next(one for one in grpc.StatusCode if one.value[0] == status.code)
            context.abort(code, status.message)

    def EmptyCall(self, _: Any, __: Any) -> Any:  # noqa: N802  (its name on the wire)
        return pb.Empty()

    def UnaryCall(self, request: Any, context: Any) -> Any:  # noqa: N802  (same)
        self._echo(context)
        self._fail(request.response_status, context)
        if request.response_compressed.value:
            context.set_compression(grpc.Compression.Gzip)
        return pb.SimpleResponse(payload=payload(request.response_size))

    def _answers(self, request: Any, context: Any) -> Iterator[Any]:
        gone = Event()
        context.add_callback(gone.set)
        for one in request.response_parameters:
            if one.interval_us and gone.wait(one.interval_us / 1e6):
                return
            yield pb.StreamingOutputCallResponse(payload=payload(one.size))

    def StreamingOutputCall(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802  (same)
        self._echo(context)
        yield from self._answers(request, context)

    def StreamingInputCall(self, requests: Iterator[Any], _: Any) -> Any:  # noqa: N802  (same)
        return pb.StreamingInputCallResponse(aggregated_payload_size=sum(len(one.payload.body) for one in requests))

    def FullDuplexCall(self, requests: Iterator[Any], context: Any) -> Iterator[Any]:  # noqa: N802  (same)
        self._echo(context)
        # `requests` may end as if half-closed before grpc has heard of a cancellation; its own state is right in the end.
        context.add_callback(lambda: print(context._state.client, flush=True))  # noqa: T201  (a program)
        for request in requests:
            self._fail(request.response_status, context)
            yield from self._answers(request, context)


def serve(*files: str) -> None:
    """Until killed."""
    server = grpc.server(ThreadPoolExecutor(8))
    services.add_TestServiceServicer_to_server(Servicer(), server)
    if files:
        cert, key, *ca = (Path(file).read_bytes() for file in files)
        credentials = grpc.ssl_server_credentials([(key, cert)], ca[0] if ca else None, require_client_auth=bool(ca))
        port = server.add_secure_port("localhost:0", credentials)
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print("listening on", port, flush=True)  # noqa: T201  (a program)
    server.wait_for_termination()


# ---------------------------------------------------------------- client


def failing(call: Callable[[], Any], code: grpc.StatusCode, message: str | None = None) -> Any:
    """The failure of a call that must fail."""
    try:
        call()
    except grpc.RpcError as e:
        error: Any = e
        assert error.code() is code, error
        assert message is None or error.details() == message, error
        return error
    raise AssertionError("it did not fail")


def status(code: int, message: str) -> Any:
    """What is asked of the server."""
    return pb.EchoStatus(code=code, message=message)


def sizes(call: Any) -> list[int]:
    """Of all answers."""
    return [len(answer.payload.body) for answer in call]


class Cases:
    """One method a case."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.stub = services.TestServiceStub(channel)
        self.other = services.UnimplementedServiceStub(channel)

    def unary(self, size: int = 0, response: int = 0, *, metadata: Any = None, compression: Any = None, **more: Any) -> Any:
        """A UnaryCall: answer and call."""
        request = pb.SimpleRequest(response_size=response, payload=payload(size), **more)
        how = {"timeout": PATIENCE, "metadata": metadata, "compression": compression}
        answer, call = self.stub.UnaryCall.with_call(request, **how)
        assert len(answer.payload.body) == response
        return call

    def empty_unary(self) -> None:
        assert self.stub.EmptyCall(pb.Empty(), timeout=PATIENCE) == pb.Empty()

    def large_unary(self) -> None:
        self.unary(271828, 314159)

    def client_streaming(self) -> None:
        requests = (pb.StreamingInputCallRequest(payload=payload(size)) for size in REQUESTS)
        assert self.stub.StreamingInputCall(requests, timeout=PATIENCE).aggregated_payload_size == 74922

    def server_streaming(self) -> None:
        assert sizes(self.stub.StreamingOutputCall(asking(*RESPONSES), timeout=PATIENCE)) == list(RESPONSES)

    def ping_pong(self) -> None:
        queue: SimpleQueue[Any] = SimpleQueue()
        call = self.stub.FullDuplexCall(iter(queue.get, None), timeout=PATIENCE)
        for size, response in zip(REQUESTS, RESPONSES, strict=True):
            queue.put(asking(response, size=size))
            assert len(next(call).payload.body) == response
        queue.put(None)
        assert sizes(call) == []

    def empty_stream(self) -> None:
        assert sizes(self.stub.FullDuplexCall(iter(()), timeout=PATIENCE)) == []

    def custom_metadata(self) -> None:
        call = self.unary(1, 1, metadata=(FIRST, LAST))
        self._echoed(call)
        call = self.stub.FullDuplexCall(iter((asking(1, size=1),)), timeout=PATIENCE, metadata=(FIRST, LAST))
        assert sizes(call) == [1]
        self._echoed(call)

    def _echoed(self, call: Any) -> None:
        assert only(call.initial_metadata(), INITIAL) == (FIRST,)
        assert only(call.trailing_metadata(), TRAILING) == (LAST,)

    def status_code_and_message(self) -> None:
        wanted = status(2, "test status message")
        failing(lambda: self.unary(response_status=wanted), grpc.StatusCode.UNKNOWN, wanted.message)
        requests = iter((asking(response_status=wanted),))
        failing(lambda: sizes(self.stub.FullDuplexCall(requests, timeout=PATIENCE)), grpc.StatusCode.UNKNOWN, wanted.message)

    def special_status_message(self) -> None:
        failing(lambda: self.unary(response_status=status(2, SPECIAL)), grpc.StatusCode.UNKNOWN, SPECIAL)

    def unimplemented_method(self) -> None:
        failing(lambda: self.stub.UnimplementedCall(pb.Empty(), timeout=PATIENCE), grpc.StatusCode.UNIMPLEMENTED)

    def unimplemented_service(self) -> None:
        failing(lambda: self.other.UnimplementedCall(pb.Empty(), timeout=PATIENCE), grpc.StatusCode.UNIMPLEMENTED)

    def cancel_after_begin(self) -> None:
        queue: SimpleQueue[Any] = SimpleQueue()
        call = self.stub.StreamingInputCall.future(iter(queue.get, None), timeout=PATIENCE)
        call.cancel()
        queue.put(None)
        assert call.code() is grpc.StatusCode.CANCELLED

    def cancel_after_first_response(self) -> None:
        queue: SimpleQueue[Any] = SimpleQueue()
        call = self.stub.FullDuplexCall(iter(queue.get, None), timeout=PATIENCE)
        queue.put(asking(31415, size=27182))
        assert len(next(call).payload.body) == 31415
        call.cancel()
        queue.put(None)
        failing(lambda: next(call), grpc.StatusCode.CANCELLED)

    def timeout_on_sleeping_server(self) -> None:
        queue: SimpleQueue[Any] = SimpleQueue()
        queue.put(asking(size=27182))
        call = self.stub.FullDuplexCall(iter(queue.get, None), timeout=0.001)
        failing(lambda: next(call), grpc.StatusCode.DEADLINE_EXCEEDED)
        queue.put(None)

    def fanmesh_deadline(self) -> None:
        slow = pb.StreamingOutputCallRequest(response_parameters=[pb.ResponseParameters(size=1, interval_us=30_000_000)])
        failing(lambda: sizes(self.stub.StreamingOutputCall(slow, timeout=0.3)), grpc.StatusCode.DEADLINE_EXCEEDED)

    def fanmesh_large(self) -> None:
        self.unary(LARGE, LARGE)
        requests = (asking(LARGE, 1, size=LARGE) for _ in range(3))
        assert sizes(self.stub.FullDuplexCall(requests, timeout=PATIENCE)) == [LARGE, 1] * 3

    def fanmesh_gzip(self) -> None:
        self.unary(LARGE, LARGE, compression=grpc.Compression.Gzip)

    def fanmesh_binary_metadata(self) -> None:
        for value in (b"\0", b"\0\xff", b"\xff\xfe\xfd", bytes(range(256)), b""):
            call = self.unary(metadata=((TRAILING, value),))
            assert only(call.trailing_metadata(), TRAILING) == ((TRAILING, value),)

    def fanmesh_odd_messages(self) -> None:
        for message in ("100% %41 %", " between spaces ", "+", "x" * 1000):
            self._refused(message)

    def _refused(self, message: str, metadata: Any = None) -> Any:
        wanted = status(9, message)
        return failing(
            lambda: self.unary(response_status=wanted, metadata=metadata), grpc.StatusCode.FAILED_PRECONDITION, message
        )

    def fanmesh_rich_status(self) -> None:
        details = rich("nö").SerializeToString()
        error = self._refused("nö", ((WANTED, details),))
        assert only(error.trailing_metadata(), DETAILS) == ((DETAILS, details),)


def call(address: str, *files: str) -> None:
    """Every case."""
    if files:
        ca, cert, key = (*(Path(file).read_bytes() for file in files), None, None)[:3]
        channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(ca, key, cert))
    else:
        channel = grpc.insecure_channel(address)
    with channel:
        cases = Cases(channel)
        for name in vars(Cases):
            if name.startswith("_") or name == "unary":
                continue
            try:
                getattr(cases, name)()
            except (AssertionError, grpc.RpcError) as e:
                print(f"{name}: {' '.join(repr(e).split())}", flush=True)  # noqa: T201  (a program)
            else:
                print(f"{name}: ok", flush=True)  # noqa: T201  (same)


if __name__ == "__main__":
    (serve if sys.argv[1] == "server" else call)(*sys.argv[2:])

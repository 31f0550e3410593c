"""Serve raw bytes on a free loopback port until stdin closes.

Raw bytes, because protobuf would be a second library whose version varies with grpcio's. The lifetime hangs on
stdin and not on a signal, so that no server outlives a benchmark that was killed.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import grpc.aio
import uvloop

Context = grpc.aio.ServicerContext[bytes, bytes]
Unary = Callable[[bytes, Context], Awaitable[bytes]]
Stream = Callable[[bytes, Context], AsyncIterator[bytes]]

SERVICE = "pin"


@dataclass(frozen=True, slots=True)
class Handlers:
    """What one process serves, by method name."""

    unary: Mapping[str, Unary]
    stream: Mapping[str, Stream] = field(default_factory=dict)

    def register(self, server: grpc.aio.Server) -> None:
        """Put the handlers on `server` with identity serialisers."""
        methods: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            **{name: grpc.unary_unary_rpc_method_handler(f) for name, f in self.unary.items()},
            **{name: grpc.unary_stream_rpc_method_handler(f) for name, f in self.stream.items()},
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))


async def _serve(build: Callable[[list[str]], Handlers], args: list[str]) -> None:
    server = grpc.aio.server()
    build(args).register(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    closed = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), closed.set)
    await closed.wait()
    await server.stop(0)


def main(build: Callable[[list[str]], Handlers]) -> None:
    """Build the handlers from the command line inside the loop, serve, and print the port as the first line."""
    uvloop.run(_serve(build, sys.argv[1:]))

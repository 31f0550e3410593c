"""The leak that the cancel adapter is there for. In processes of its own, so that nobody else's memory is measured."""

import subprocess
import sys
import textwrap

import pytest

CALLS = 100_000
GROWTH_LIMIT_KB = 10_000

SERVER = """
    import asyncio
    import sys
    import uvloop
    from fanmesh.transport.grpc_aio import GrpcTransport
    from fanmesh.transport.port import Routes

    async def hang(request, call):
        await asyncio.Event().wait()

    async def main():
        server = GrpcTransport().server("127.0.0.1:0", Routes(unary={"/t.T/hang": hang}))
        await server.start()
        print(server.port, flush=True)
        closed = asyncio.Event()
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), closed.set)
        await closed.wait()
        await server.stop()

    uvloop.run(main())
"""

CLIENT = """
    import asyncio
    import gc
    import sys
    import uvloop
    from fanmesh.transport.grpc_aio import GrpcTransport

    def rss_kb():
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))

    async def main(port, calls):
        channel = GrpcTransport().connect(f"127.0.0.1:{port}")
        assert await channel.wait_ready(10)

        async def batches(count):
            cancelled = 0
            for batch in range(count // 200):
                tasks = [asyncio.ensure_future(channel.unary("/t.T/hang", b"x", timeout=30)) for _ in range(200)]
                for _ in range((1, 2, 3, 20)[batch % 4]):  # from "made, not sent" to "running at the worker"
                    await asyncio.sleep(0)
                for task in tasks:
                    task.cancel()
                ends = await asyncio.gather(*tasks, return_exceptions=True)
                cancelled += sum(isinstance(end, asyncio.CancelledError) for end in ends)
            return cancelled

        await batches(6_000)  # arenas, caches, the connection
        gc.collect()
        before = rss_kb()
        cancelled = await batches(calls)
        gc.collect()
        print(cancelled, rss_kb() - before, flush=True)
        await channel.close()

    uvloop.run(main(sys.argv[1], int(sys.argv[2])))
"""


@pytest.mark.slow
def test_calls_cancelled_through_their_tasks_leave_no_memory_behind() -> None:
    """100,000 unary calls whose awaiting task is cancelled grow the process by less than 10 MB."""
    serve = [sys.executable, "-c", textwrap.dedent(SERVER)]
    with subprocess.Popen(serve, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin
        assert server.stdout
        port = server.stdout.readline().strip()
        client = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(CLIENT), port, str(CALLS)],
            check=True,
            capture_output=True,
            text=True,
            timeout=170,
        )
        server.stdin.close()
    cancelled, growth_kb = map(int, client.stdout.split())
    assert cancelled == CALLS
    assert growth_kb < GROWTH_LIMIT_KB

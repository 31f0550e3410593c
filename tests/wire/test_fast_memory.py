"""Many calls and cancellations over the fast transport leave nothing behind, on either side. In a process of its own."""

import subprocess
import sys
import textwrap

import pytest

CALLS, CANCELS = 200_000, 100_000
GROWTH_LIMIT_KB = 10_000

BOTH = """
    import asyncio
    import gc
    import sys
    import uvloop
    from fanmesh.transport.fast import FastTransport, client_connection, link, server_connection
    from fanmesh.transport.port import Routes

    CALLS, CANCELS, RATIONED = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "rationed"
    if not RATIONED:  # every cancellation resets its stream at once
        server_connection.PEER_RESETS = (10**9, 10**9)
        link.OUR_RESETS = (server_connection.PEER_RESETS,)

    def rss_kb():
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))

    async def echo(request, call):
        return request

    async def slow(request, call):
        await asyncio.sleep(0.02 if RATIONED else 100)
        return b"x" * 1000

    async def count(request, call):
        for _ in range(10):
            yield request

    async def chat(requests, call):
        async for request in requests:
            await call.write(request)

    async def main():
        routes = Routes(unary={"/t.T/echo": echo, "/t.T/slow": slow}, stream={"/t.T/count": count}, duplex={"/t.T/chat": chat})
        server = FastTransport().server("127.0.0.1:0", routes)
        await server.start()
        channel = FastTransport().connect(f"127.0.0.1:{server.port}")

        async def call(n):
            if n % 50 == 0:
                stream = channel.stream("/t.T/count", b"1", timeout=30)
                await anext(stream)
                await stream.aclose()
            elif n % 50 == 1:
                duplex = channel.duplex("/t.T/chat", timeout=30)
                await duplex.write(b"a")
                await duplex.read()
                await duplex.aclose()
            else:
                await channel.unary("/t.T/echo", b"x" * (n % 300), timeout=30, metadata=(("n", str(n)),))

        async def calls(count):
            for n in range(0, count, 100):
                await asyncio.gather(*(call(n + i) for i in range(100)))

        async def cancels(count):
            done = 0
            for batch in range(count // 200):
                tasks = [asyncio.ensure_future(channel.unary("/t.T/slow", b"x", timeout=30)) for _ in range(200)]
                for _ in range((1, 2, 3, 20)[batch % 4]):  # from "made, not sent" to "running at the server"
                    await asyncio.sleep(0)
                for task in tasks:
                    task.cancel()
                ends = await asyncio.gather(*tasks, return_exceptions=True)
                done += sum(isinstance(end, asyncio.CancelledError) for end in ends)
            return done

        async def quiet():
            [connection] = channel._links.connections
            async with asyncio.timeout(60):
                while connection.open_streams:
                    await asyncio.sleep(0.01)

        await calls(20_000)
        await cancels(10_000)
        await quiet()
        gc.collect()
        before = rss_kb()
        await calls(CALLS)
        done = await cancels(CANCELS)
        await quiet()
        [connection] = channel._links.connections
        [served] = server._connections
        left = len(connection.streams) + len(connection._put_off) + len(served.calls) + len(served._finishing)
        left += len(channel.live) + len(channel._links.waiting) + server._running.count
        gc.collect()
        print(done, rss_kb() - before, left, connection.h2.local_window_size, flush=True)
        await channel.close()
        await server.stop()

    uvloop.run(main())
"""


@pytest.mark.slow
@pytest.mark.parametrize("resets", ["rationed", "at once"])
def test_calls_and_cancellations_leave_no_memory_behind(resets: str) -> None:
    """200,000 calls and 100,000 cancellations: less than 10 MB, no stream, and the window as open as at first."""
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(BOTH), str(CALLS), str(CANCELS), resets],
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    )
    cancelled, growth_kb, left, window = map(int, run.stdout.split())
    assert cancelled >= (0.9 * CANCELS if resets == "rationed" else CANCELS)  # some are answered first
    assert growth_kb < GROWTH_LIMIT_KB
    assert left == 0
    assert window > 2**30

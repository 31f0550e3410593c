"""The future of a unary call over the fast transport: gathered, cancelled, failed before it was sent, and left behind."""

import asyncio
import gc
from contextlib import suppress

import pytest

from fanmesh.model.fault import Code
from fanmesh.transport.fast import FastTransport
from fanmesh.transport.fast.channel import FastChannel
from fanmesh.transport.fast.client_call import Answer, UnaryCall
from fanmesh.transport.port import Reply, RpcError
from tests.kit.peers import Pair, failing, peers, soon

pytestmark = pytest.mark.asyncio

FAST = Pair(FastTransport(), FastTransport())


async def test_gathered_calls_need_no_task_and_one_that_cannot_be_sent_loses_none_of_the_others() -> None:
    """Bad metadata, no time: errors of those calls when they are awaited, and not of whoever lists the calls."""
    async with peers(FAST) as p:
        assert await p.channel.wait_ready(5)
        tasks = len(asyncio.all_tasks())
        calls = [
            p.channel.unary("/t.T/echo", b"1"),
            p.channel.unary("/t.T/echo", b"2", metadata=(("Bad", "key"),)),
            p.channel.unary("/t.T/echo", b"3", timeout=0),
            p.channel.unary("/t.T/echo", b"4", timeout=5),
        ]
        assert len(asyncio.all_tasks()) == tasks
        one, bad, late, four = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(one, Reply)
        assert isinstance(four, Reply)
        assert (one.payload, four.payload) == (b"1", b"4")
        assert isinstance(bad, RpcError)
        assert (bad.code, bad.sent) == (Code.INTERNAL, False)
        assert isinstance(late, RpcError)
        assert (late.code, late.sent, late.local_deadline) == (Code.DEADLINE_EXCEEDED, False, True)
        await p.channel.close()
        closed = p.channel.unary("/t.T/echo", b"5")
        assert (await failing(lambda: closed)).code is Code.UNAVAILABLE


async def test_cancelling_the_future_itself_cancels_the_worker_once() -> None:
    """As `wait_for` and `gather` do; a second time, and after the end, it does nothing."""
    async with peers(FAST) as p:
        call = asyncio.ensure_future(p.channel.unary("/t.T/hang", b"", timeout=60))
        await soon(p.worker.arrived)
        assert call.cancel()
        assert not call.cancel()
        assert not p.channel.live, "it is over now, and not in the next turn of the loop"
        await soon(p.worker.cancelled)
        with pytest.raises(asyncio.CancelledError):
            await call
        done = asyncio.ensure_future(p.channel.unary("/t.T/echo", b"x"))
        assert (await done).payload == b"x"
        assert not done.cancel()


async def test_a_gather_that_is_cancelled_cancels_each_of_its_calls() -> None:
    """The workers hear of it, and no call stays."""
    async with peers(FAST) as p:
        gathered = asyncio.gather(*(p.channel.unary("/t.T/hang", b"", timeout=60) for _ in range(3)))
        await soon(p.worker.arrived)
        gathered.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gathered
        await soon(p.worker.cancelled)
        assert not p.channel.live


async def test_calls_leave_no_cycle_behind_however_they_end() -> None:
    """What a call was made of dies with it, and the collector has nothing to find: answered, refused, late, cancelled."""
    async with peers(FAST) as p:
        assert isinstance(p.channel, FastChannel)

        async def each() -> None:
            await p.channel.unary("/t.T/echo", b"x", timeout=5)
            for path, timeout in (("/t.T/refuse", 5), ("/t.T/hang", 0.01)):
                with suppress(RpcError):  # and not `raises`, which keeps what it has seen
                    await p.channel.unary(path, b"no", timeout=timeout)
            given_up = asyncio.ensure_future(p.channel.unary("/t.T/hang", b"", timeout=60))
            await asyncio.sleep(0.01)
            given_up.cancel()
            await asyncio.wait((given_up,))

        await each()
        gc.collect()
        gc.disable()
        try:
            for _ in range(3):
                await each()
            await asyncio.sleep(0)
            assert not [one for one in gc.get_objects() if isinstance(one, UnaryCall | Answer)]
        finally:
            gc.enable()
        assert not p.channel.live
        assert not len(p.channel.deadlines)

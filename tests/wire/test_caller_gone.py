"""A caller that hangs up, or runs out of time: the workers hear of it, and nothing goes on in the dispatcher."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
import pytest_asyncio

from fanmesh.model.fault import Code
from fanmesh.model.states import CompletedBy
from fanmesh.v1 import dispatcher_pb2
from tests.kit.calls import PATIENCE, ask
from tests.kit.mesh import Mesh, plan, running
from tests.kit.roles import Hanging, echo

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def hanging() -> Hanging:
    """A worker that never answers."""
    return Hanging()


@pytest_asyncio.fixture
async def streaming() -> Hanging:
    """Another."""
    return Hanging()


@pytest_asyncio.fixture
async def mesh(hanging: Hanging, streaming: Hanging) -> AsyncIterator[Mesh]:
    """A plan whose budget no test waits for: whatever ends here does not end by its own deadline."""
    workers = {"a": hanging.worker, "b": streaming.worker, "echo": echo}
    async with running(workers, {"p": plan("a", "b", "echo", budget="60s", merge_reserve="200ms")}) as mesh:
        yield mesh


async def seen(*workers: Hanging) -> None:
    """Every worker has heard that nobody waits for it."""
    async with asyncio.timeout(PATIENCE):
        for worker in workers:
            await worker.cancelled.wait()
    for worker in workers:
        assert all(context.cancelled for context in worker.contexts)


def long_before(*workers: Hanging) -> bool:
    """Whether they heard of it while their own deadline was far away: it was not that which ended them."""
    return all(left is not None and left > 60 - PATIENCE for worker in workers for left in worker.left)


async def test_a_call_that_is_cancelled(mesh: Mesh, hanging: Hanging, streaming: Hanging) -> None:
    """Cancelling Dispatch cancels every worker, and leaves no request, branch or timer behind."""
    call = asyncio.create_task(mesh.dispatch(ask()))
    await hanging.called.wait()
    await streaming.called.wait()
    assert mesh.dispatcher.measures.in_flight == 1
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await seen(hanging, streaming)
    assert long_before(hanging, streaming)
    await mesh.idle()
    assert mesh.dispatcher.reaper.adopted >= 2  # `echo` may have answered already


async def test_a_stream_that_is_closed(mesh: Mesh, hanging: Hanging, streaming: Hanging) -> None:
    """Closing a stream after its first message does the same."""
    request = dispatcher_pb2.DispatchStreamRequest(request=ask(), emit=2)  # type: ignore[arg-type]  # a number
    async with asyncio.timeout(PATIENCE), aclosing(mesh.open(request.SerializeToString())) as events:
        first = dispatcher_pb2.DispatchStreamResponse.FromString(await anext(aiter(events)))
        assert first.WhichOneof("event") == "snapshot"
        await hanging.called.wait()
        await streaming.called.wait()
    await seen(hanging, streaming)
    assert long_before(hanging, streaming)
    await mesh.idle()


async def test_a_connection_that_breaks(mesh: Mesh, hanging: Hanging, streaming: Hanging) -> None:
    """Closing the connection is hanging up, too."""
    call = asyncio.create_task(mesh.dispatch(ask()))
    await hanging.called.wait()
    await streaming.called.wait()
    await mesh.channel.close()
    assert (await call).code in {Code.UNAVAILABLE, Code.CANCELLED}
    await seen(hanging, streaming)
    assert long_before(hanging, streaming)
    await mesh.idle()


@pytest.mark.parametrize("within", [0.05, 0.001])
async def test_a_deadline_that_passes(mesh: Mesh, hanging: Hanging, within: float) -> None:
    """The caller's own deadline bounds everything; whatever was called is cancelled, and nothing is left."""
    heard = await mesh.dispatch(ask(accept={"required": ["a"]}), within=within)
    assert heard.code is Code.DEADLINE_EXCEEDED
    if hanging.called.is_set():
        await seen(hanging)
    await mesh.idle()


async def test_a_callers_deadline_gives_what_there_is(mesh: Mesh, hanging: Hanging) -> None:
    """Before the caller gives up, the dispatcher replies with what it has: the plan's floor is met by one answer."""
    heard = await mesh.dispatch(ask(), within=1.0)
    assert heard.code is Code.OK
    assert heard.response.result.json == '{"echo":{}}'
    assert heard.report.completed_by == CompletedBy.HARD_TIMEOUT
    await seen(hanging)


async def test_many_callers_that_hang_up(mesh: Mesh, hanging: Hanging) -> None:
    """Fifty at once, cancelled at different stages of their way in: as soon as made, and once they run."""
    calls = [asyncio.create_task(mesh.dispatch(ask())) for _ in range(50)]
    for call in calls[:10]:
        call.cancel()
    await hanging.called.wait()
    for call in calls:
        call.cancel()
    ended = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(one, asyncio.CancelledError) for one in ended)
    await mesh.idle()
    assert mesh.dispatcher.measures.in_flight == 0

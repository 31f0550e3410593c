"""At the door: who is let in while others are inside, what those hear who are not, and that nobody is counted for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
import pytest_asyncio

from fanmesh.model.fault import Code
from fanmesh.transport.port import ServerCall
from fanmesh.v1 import dispatcher_pb2
from tests.kit.calls import PATIENCE, Heard, ask
from tests.kit.mesh import Mesh, Raw, plan, running
from tests.kit.roles import Gated, Hanging, echo, part

pytestmark = pytest.mark.asyncio

SHEDDABLE = (("fanmesh-criticality", "SHEDDABLE"),)


@pytest_asyncio.fixture
async def gate() -> Gated:
    """The only worker: it answers when it may."""
    return Gated("done")


@pytest_asyncio.fixture
async def mesh(gate: Gated) -> AsyncIterator[Mesh]:
    """A dispatcher that takes five requests at once."""
    async with running({"w": gate.worker}, {"p": plan("w", budget="60s")}, server={"max_in_flight": 5}) as mesh:
        yield mesh


async def filled(mesh: Mesh, gate: Gated, count: int) -> list[asyncio.Task[Heard]]:
    """So many requests that are inside."""
    calls = [asyncio.create_task(mesh.dispatch(ask())) for _ in range(count)]
    await gate.all_called(count)
    assert mesh.dispatcher.door.in_flight == count
    return calls


async def empty(mesh: Mesh) -> None:
    """Wait until nobody is inside."""
    await mesh.idle()
    assert mesh.dispatcher.door.in_flight == 0


def check(heard: Heard, why: str, least: int) -> None:
    """It is the refusal of the door: code, reason, cause, and a time to come back."""
    assert (heard.code, heard.info.reason) == (Code.RESOURCE_EXHAUSTED, "OVERLOADED")
    assert dict(heard.info.metadata) == {"why": why}
    assert heard.trailer("fanmesh-complete") == "false"
    assert least <= int(heard.trailer("grpc-retry-pushback-ms") or -1) < 2 * least


def shed(mesh: Mesh) -> dict[tuple[str, ...], int]:
    """What has been counted."""
    (counter,) = (family for family in mesh.dispatcher.door.families if family.about.name == "fanmesh_shed_total")
    return dict(counter.values)  # type: ignore[union-attr]


async def test_the_least_important_are_refused_first(mesh: Mesh, gate: Gated) -> None:
    """At 80 % SHEDDABLE requests are refused and CRITICAL ones come in; at 100 % nobody; afterwards everybody again."""
    calls = await filled(mesh, gate, 4)
    check(await mesh.dispatch(ask(), metadata=SHEDDABLE), "max_in_flight", 100)
    calls += [asyncio.create_task(mesh.dispatch(ask()))]
    await gate.all_called(1)
    check(await mesh.dispatch(ask()), "max_in_flight", 100)
    check(await mesh.dispatch(ask(), metadata=SHEDDABLE), "max_in_flight", 100)
    gate.open.set()
    assert [heard.code for heard in await asyncio.gather(*calls)] == [Code.OK] * 5
    await empty(mesh)
    assert (await mesh.dispatch(ask(), metadata=SHEDDABLE)).code is Code.OK
    assert shed(mesh) == {("SHEDDABLE", "max_in_flight"): 2, ("CRITICAL", "max_in_flight"): 1}


async def test_a_stream_is_refused_in_its_last_message(mesh: Mesh, gate: Gated) -> None:
    """One message that says it, and the status."""
    calls = await filled(mesh, gate, 5)
    heard = await mesh.stream(ask(), emit=2)
    check(heard, "max_in_flight", 100)
    assert [event.WhichOneof("event") for event in heard.events] == ["final"]
    assert heard.outcome().info.reason == "OVERLOADED"
    gate.open.set()
    await asyncio.gather(*calls)


async def test_the_refusal_comes_in_the_message_if_asked_for(mesh: Mesh, gate: Gated) -> None:
    """A caller that wants failures in the message gets this one there, too: only the rest of the message is not read."""
    calls = await filled(mesh, gate, 5)
    for heard in (
        await mesh.dispatch(ask(json="{not read", failure_in_message=True)),
        await mesh.stream(ask(json="{not read", failure_in_message=True)),
    ):
        assert heard.code is Code.OK
        assert heard.outcome().info.reason == "OVERLOADED"
    gate.open.set()
    await asyncio.gather(*calls)


async def test_explain_and_health_are_always_answered(mesh: Mesh, gate: Gated) -> None:
    """They call nobody, and are what one looks at when a process is overloaded."""
    calls = await filled(mesh, gate, 5)
    assert isinstance(await mesh.explain(ask()), dispatcher_pb2.ExplainResponse)
    await mesh.channel.unary("/grpc.health.v1.Health/Check", b"")
    gate.open.set()
    await asyncio.gather(*calls)


@pytest.mark.parametrize("request_", [b"\xff\xff", ask("nobody").SerializeToString(), ask(json="{").SerializeToString()])
async def test_who_is_turned_down_inside_leaves_again(mesh: Mesh, request_: bytes) -> None:
    """Requests that are wrong do not stay in the count, whatever is wrong with them."""
    for _ in range(6):
        assert (await mesh.dispatch(request_)).info.reason != "OVERLOADED"
        assert (await mesh.stream(request_)).info.reason != "OVERLOADED"
    await empty(mesh)


async def test_who_hangs_up_leaves_again() -> None:
    """Calls that are cancelled at any point do not stay in the count, nor do streams that are closed."""
    hanging = Hanging()
    async with running({"w": hanging.worker}, {"p": plan("w", budget="60s")}, server={"max_in_flight": 20}) as mesh:
        calls = [asyncio.create_task(mesh.dispatch(ask())) for _ in range(5)]
        calls += [asyncio.create_task(mesh.stream(ask(), emit=2)) for _ in range(5)]
        calls += [asyncio.create_task(mesh.dispatch(ask(idempotency_key=f"{n % 2}"))) for n in range(5)]
        for call in calls[::3]:
            call.cancel()
        await hanging.called.wait()
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await empty(mesh)
        assert mesh.dispatcher.replays.running == 0


def larger(count: int) -> tuple[Raw, asyncio.Event]:
    """A stream of so many parts of 256 KB, each the whole so far; the event says that all have been taken."""
    done = asyncio.Event()

    async def stream(_: bytes, __: ServerCall) -> AsyncIterator[bytes]:
        for number in range(count):
            yield part(f'"{number:0262144}"', replace=True).SerializeToString()
        done.set()

    return Raw(stream=stream), done


@pytest.mark.parametrize("key", ["", "k"])
async def test_a_reader_that_stands_still_takes_nobodys_place(key: str) -> None:
    """A stream whose run has ended is out of the door, though its caller has read only the first of many messages."""
    parts, done = larger(120)
    server = {"max_in_flight": 1, "limits": {"branch": "64MiB"}}
    async with running({"w": parts}, {"p": plan("w", budget="60s", merge="first")}, server=server) as mesh:
        request = dispatcher_pb2.DispatchStreamRequest(request=ask(idempotency_key=key), emit=2)  # type: ignore[arg-type]  # a number
        async with asyncio.timeout(PATIENCE), aclosing(mesh.open(request.SerializeToString())) as stream:
            await anext(aiter(stream))
            await done.wait()
            await empty(mesh)


async def test_memory_beyond_its_limit_closes_the_door() -> None:
    """A process that is larger than it may be takes nobody, says why, and asks for more patience than a full house does."""
    overload = {"memory": {"limit": "1MiB"}}
    async with running({"w": echo}, {"p": plan("w")}, server={"overload": overload}) as mesh:
        check(await mesh.dispatch(ask()), "memory", 2000)
        check(await mesh.stream(ask(), metadata=SHEDDABLE), "memory", 2000)
        assert shed(mesh) == {("CRITICAL", "memory"): 1, ("SHEDDABLE", "memory"): 1}
        assert mesh.dispatcher.door.in_flight == 0

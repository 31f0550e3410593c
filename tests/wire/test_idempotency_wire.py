"""Requests with an idempotency key: one run for all who ask for it, and its reply for who asks again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from fanmesh.model.fault import Code
from fanmesh.v1 import dispatcher_pb2, worker_pb2
from fanmesh.workers import Fault, Worker, worker
from tests.kit.calls import PATIENCE, Heard, ask
from tests.kit.mesh import PROCESS, Mesh, Told, plan, running, yielded
from tests.kit.roles import Gated, Hanging

pytestmark = pytest.mark.asyncio

REPLAYED = "fanmesh-replayed"
KEYED = ask(idempotency_key="k")
SNAPSHOT: Any = 2


class Counting:
    """Answers with the number of its call; the first of them end in `faults`."""

    def __init__(self, *faults: Fault) -> None:
        self.calls = 0
        left = list(faults)

        @worker("counts")
        async def counts() -> Any:
            self.calls += 1
            if left:
                raise left.pop(0)
            return self.calls

        self.worker: Worker[Any] = counts


@pytest_asyncio.fixture
async def gate() -> Gated:
    """Answers when it may."""
    return Gated("done")


@pytest_asyncio.fixture
async def mesh(gate: Gated) -> AsyncIterator[Mesh]:
    """One plan with that worker; nobody waits for its budget."""
    async with running({"w": gate.worker}, {"p": plan("w", budget="60s")}) as mesh:
        yield mesh


async def inside(mesh: Mesh, count: int) -> None:
    """Wait until so many callers are inside: those that join a run have joined it."""
    async with asyncio.timeout(PATIENCE):
        while mesh.dispatcher.door.in_flight != count:
            await yielded()


async def two(mesh: Mesh, gate: Gated) -> tuple[asyncio.Task[Heard], asyncio.Task[Heard]]:
    """Who begins a run, and who joins it."""
    first = asyncio.create_task(mesh.dispatch(KEYED))
    await gate.all_called(1)
    second = asyncio.create_task(mesh.dispatch(KEYED))
    await inside(mesh, 2)
    return first, second


async def test_the_same_key_and_body_are_replayed() -> None:
    """The second call gets the first one's reply to the byte, its report included, and the trailer says so. Once is called."""
    counting = Counting()
    async with running({"w": counting.worker}, {"p": plan("w")}) as mesh:
        first, second = await mesh.dispatch(KEYED), await mesh.dispatch(KEYED)
    assert (first.trailer(REPLAYED), second.trailer(REPLAYED)) == (None, "true")
    assert first.response.result.json == '{"w":1}'
    assert second.response == first.response
    assert second.trailer("fanmesh-complete") == "true"
    assert counting.calls == 1


async def test_without_a_key_or_with_another_it_runs_again() -> None:
    """No key: nothing is shared. Another key: another operation."""
    counting = Counting()
    async with running({"w": counting.worker}, {"p": plan("w")}) as mesh:
        for request in (ask(), ask(), KEYED, ask(idempotency_key="K")):
            assert (await mesh.dispatch(request)).code is Code.OK
    assert counting.calls == 4


async def test_the_same_key_joins_a_run(mesh: Mesh, gate: Gated) -> None:
    """While it runs a second caller waits for it; both get the same reply, and neither is a replay."""
    first, second = await two(mesh, gate)
    gate.open.set()
    one, other = await asyncio.gather(first, second)
    assert one.response == other.response
    assert one.response.result.json == '{"w":"done"}'
    assert (one.trailer(REPLAYED), other.trailer(REPLAYED)) == (None, None)
    assert mesh.dispatcher.replays.kept == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"json": "{ }"},
        {"plan": "q"},
        {"attributes": {"tenant": "acme"}},
        {"budget": {"latency": {"seconds": 50}}},
        {"accept": {"min_success": 1}},
        {"reply_kind": 1},
    ],
    ids=lambda fields: next(iter(fields)),
)
async def test_another_body_is_refused(gate: Gated, fields: dict[str, Any]) -> None:
    """Whatever differs in the message, while the key's request runs and once it has ended; the field is named."""
    plans = {name: plan("w", budget="60s") for name in "pq"}
    async with running({"w": gate.worker}, plans, attributes=["tenant"]) as mesh:
        first = asyncio.create_task(mesh.dispatch(KEYED))
        await gate.all_called(1)
        other = ask(idempotency_key="k", **fields)
        heard = [await mesh.dispatch(other), await mesh.stream(other)]
        gate.open.set()
        await first
        heard.append(await mesh.dispatch(other))
    for one in heard:
        assert (one.code, one.info.reason) == (Code.ALREADY_EXISTS, "IDEMPOTENCY_KEY_REUSED")
        assert dict(one.info.metadata) == {"field": "idempotency_key"}


async def test_who_is_somebody_else_gets_no_answer_of_the_first() -> None:
    """Metadata that a worker is told is part of the body; what nobody is told is not."""
    counting = Counting()
    workers = {"w": Told(counting.worker, {"metadata": ["authorization"]})}
    async with running(workers, {"p": plan("w")}) as mesh:
        ada, bob = (("authorization", "Bearer ada"),), (("authorization", "Bearer bob"),)
        first = await mesh.dispatch(KEYED, metadata=ada)
        other = await mesh.dispatch(KEYED, metadata=bob)
        again = await mesh.dispatch(KEYED, metadata=(*ada, ("x-unheard", "2")))
    assert (first.code, other.code, again.code) == (Code.OK, Code.ALREADY_EXISTS, Code.OK)
    assert again.trailer(REPLAYED) == "true"
    assert counting.calls == 1


async def test_the_order_of_metadata_is_not_the_body() -> None:
    """There is none between different keys in gRPC, and clients that hold metadata in a map send any."""
    counting = Counting()
    workers = {"w": Told(counting.worker, {"metadata": ["authorization", "x-tenant"]})}
    async with running(workers, {"p": plan("w")}) as mesh:
        ada, acme, other = ("authorization", "Bearer ada"), ("x-tenant", "acme"), ("x-tenant", "other")
        heard = [await mesh.dispatch(KEYED, metadata=one) for one in ((ada, acme), (acme, ada), (other, acme, ada))]
    assert [one.code for one in heard] == [Code.OK, Code.OK, Code.ALREADY_EXISTS]
    assert heard[1].trailer(REPLAYED) == "true"


async def test_the_form_of_a_failure_is_not_the_body(mesh: Mesh, gate: Gated) -> None:
    """`failure_in_message` says how to tell, not what to do."""
    gate.open.set()
    await mesh.dispatch(KEYED)
    assert (await mesh.dispatch(ask(idempotency_key="k", failure_in_message=True))).trailer(REPLAYED) == "true"


async def test_who_began_it_may_hang_up(mesh: Mesh, gate: Gated) -> None:
    """The run goes on for those who joined it."""
    first, second = await two(mesh, gate)
    first.cancel()
    await inside(mesh, 1)
    gate.open.set()
    assert (await second).response.result.json == '{"w":"done"}'


async def test_when_the_last_has_hung_up_the_run_is_cancelled() -> None:
    """Then the worker hears of it, and the key is free: the next call begins a new run."""
    hanging = Hanging()
    async with running({"w": hanging.worker}, {"p": plan("w", budget="60s")}) as mesh:
        calls = [asyncio.create_task(mesh.dispatch(KEYED)), asyncio.create_task(mesh.stream(KEYED))]
        await hanging.called.wait()
        await inside(mesh, 2)
        calls.pop().cancel()
        await inside(mesh, 1)
        assert not hanging.cancelled.is_set()
        calls.pop().cancel()
        await hanging.cancelled.wait()
        assert (mesh.dispatcher.replays.running, mesh.dispatcher.replays.kept) == (0, 0)
        hanging.called.clear()
        again = asyncio.create_task(mesh.dispatch(KEYED))
        await hanging.called.wait()
        again.cancel()


async def test_who_joined_waits_no_longer_than_its_own_deadline(mesh: Mesh, gate: Gated) -> None:
    """DEADLINE_EXCEEDED for the second caller, while the first one's run goes on and ends well."""
    first = asyncio.create_task(mesh.dispatch(KEYED))
    await gate.all_called(1)
    assert (await mesh.dispatch(KEYED, within=0.1)).code is Code.DEADLINE_EXCEEDED
    await inside(mesh, 1)
    gate.open.set()
    assert (await first).code is Code.OK


async def test_a_failure_is_forgotten() -> None:
    """A retry with the same key runs again: the failure may have been of the moment."""
    counting = Counting(Fault.not_found("not yet"))
    async with running({"w": counting.worker}, {"p": plan("w")}) as mesh:
        assert (await mesh.dispatch(KEYED)).code is Code.UNAVAILABLE
        again = await mesh.dispatch(KEYED)
    assert (again.code, again.trailer(REPLAYED), counting.calls) == (Code.OK, None, 2)


async def test_an_aborted_request_is_not_run_again() -> None:
    """ABORTED means that something may have been written: the same status again, and nobody is called."""
    counting = Counting(Fault.of(Code.INTERNAL, "half done"))
    async with running({"w": Told(counting.worker, {"effect": "write"})}, {"p": plan("w")}) as mesh:
        first, second = await mesh.dispatch(KEYED), await mesh.dispatch(KEYED)
        told = await mesh.dispatch(ask(idempotency_key="k", failure_in_message=True))
    assert (first.code, second.code) == (Code.ABORTED, Code.ABORTED)
    assert (second.message, second.rich, second.summary) == (first.message, first.rich, first.summary)
    assert second.trailer("grpc-retry-pushback-ms") == "-1"
    assert (first.trailer(REPLAYED), second.trailer(REPLAYED), told.trailer(REPLAYED)) == (None, "true", "true")
    assert told.outcome().code is Code.ABORTED
    assert first.summary is not None
    assert told.report.request_id == first.summary.request_id
    assert counting.calls == 1


async def test_a_stream_that_joins_sees_only_the_end(mesh: Mesh, gate: Gated) -> None:
    """Who begins the run sees it run; who joins it, or comes later, is sent the final message alone."""
    first = asyncio.create_task(mesh.stream(KEYED, emit=SNAPSHOT))
    await gate.all_called(1)
    second = asyncio.create_task(mesh.stream(KEYED, emit=SNAPSHOT))
    await inside(mesh, 2)
    gate.open.set()
    one, other = await asyncio.gather(first, second)
    late = await mesh.stream(KEYED, emit=SNAPSHOT)
    assert [event.WhichOneof("event") for event in one.events][:1] == ["snapshot"]
    for heard in (other, late):
        assert [(event.seq, event.WhichOneof("event")) for event in heard.events] == [(1, "final")]
        assert heard.response == one.response
        assert heard.events[0].coverage == one.events[-1].coverage
    assert (other.trailer(REPLAYED), late.trailer(REPLAYED)) == (None, "true")


async def test_no_room_for_another_key(gate: Gated) -> None:
    """When every remembered key runs, another one is refused with a pushback; a reply that is kept makes room."""
    server = {"idempotency": {"max_entries": 1}}
    async with running({"w": gate.worker}, {"p": plan("w", budget="60s")}, server=server) as mesh:
        first = asyncio.create_task(mesh.dispatch(KEYED))
        await gate.all_called(1)
        heard = await mesh.dispatch(ask(idempotency_key="other"))
        assert (heard.code, heard.info.reason) == (Code.RESOURCE_EXHAUSTED, "OVERLOADED")
        assert dict(heard.info.metadata) == {"why": "idempotency"}
        assert int(heard.trailer("grpc-retry-pushback-ms") or -1) > 0
        gate.open.set()
        assert (await first).code is Code.OK
        assert (await mesh.dispatch(ask(idempotency_key="other"))).code is Code.OK
        assert (await mesh.dispatch(KEYED)).trailer(REPLAYED) is None


async def test_replies_are_kept_within_a_number_of_bytes() -> None:
    """A hundred replies of 64 KB under 1 MiB: the last fifteen are replayed, the ones before run again."""

    @worker("w")
    async def large(number: int) -> Any:
        return f"{number:03}" + "x" * 65_000

    async with running({"w": large}, {"p": plan("w")}, server={"idempotency": {"max_bytes": "1MiB"}}) as mesh:
        asked = [ask(json=str(number), idempotency_key=f"k{number}") for number in range(100)]
        for request in asked:
            assert (await mesh.dispatch(request)).trailer(REPLAYED) is None
            assert mesh.dispatcher.replays.kept_bytes <= 1 << 20
        assert mesh.dispatcher.replays.kept == 15
        heard = [(await mesh.dispatch(request)).trailer(REPLAYED) for request in reversed(asked[-16:])]
    assert heard == ["true"] * 15 + [None]


async def test_a_reply_larger_than_all_that_may_be_kept(gate: Gated) -> None:
    """Who began the run and who joined it are told the same; who asks later begins another."""
    server = {"idempotency": {"max_bytes": "1B"}}
    async with running({"w": gate.worker}, {"p": plan("w", budget="60s")}, server=server) as mesh:
        first, second = await two(mesh, gate)
        gate.open.set()
        one, other = await asyncio.gather(first, second)
        assert one.response == other.response
        assert one.code is Code.OK
        assert (mesh.dispatcher.replays.kept, mesh.dispatcher.replays.kept_bytes) == (0, 0)
        assert (await mesh.dispatch(KEYED)).trailer(REPLAYED) is None


async def test_a_shadow_shares_nothing() -> None:
    """The answer of a shadow is only compared: it must neither become the reply of the real request nor be it."""
    counting = Counting()
    shadow = (("fanmesh-attempt-kind", "shadow"),)
    async with running({"w": counting.worker}, {"p": plan("w")}) as mesh:
        for metadata in (shadow, (), shadow, ()):
            await mesh.dispatch(KEYED, metadata=metadata)
    assert counting.calls == 3


async def test_a_worker_call_shares_the_key_of_a_dispatch() -> None:
    """The same plan, input and key through WorkerService is the same request: an outer dispatcher's retry joins it."""
    counting = Counting()
    work = worker_pb2.ProcessRequest(input=KEYED.input, idempotency_key="k")
    async with running({"w": counting.worker}, {"p": plan("w")}) as mesh:
        await mesh.dispatch(KEYED)
        reply = await mesh.channel.unary(PROCESS, work.SerializeToString(), metadata=(("fanmesh-worker", "p"),))
    assert worker_pb2.ProcessResponse.FromString(reply.payload).output.json == '{"w":1}'
    assert (REPLAYED, "true") in [tuple(one) for one in reply.trailers]
    assert counting.calls == 1


async def test_explain_takes_a_key() -> None:
    """It calls nothing, so the key stays free; but a key that is wrong is refused as by Dispatch."""
    async with running({"w": Counting().worker}, {"p": plan("w")}) as mesh:
        assert isinstance(await mesh.explain(KEYED), dispatcher_pb2.ExplainResponse)
        assert (mesh.dispatcher.replays.running, mesh.dispatcher.replays.kept) == (0, 0)

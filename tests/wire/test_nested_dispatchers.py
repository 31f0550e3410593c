"""A dispatcher as a worker of a dispatcher: what goes in, what comes out, and where it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any

import pytest

from fanmesh.model.fault import Code
from fanmesh.transport.port import Metadata, RpcError
from fanmesh.v1 import payload_pb2, worker_pb2
from fanmesh.workers import Context, Worker, worker
from tests.kit.calls import PATIENCE, Heard, ask, struct
from tests.kit.mesh import PROCESS, PROCESS_STREAM, AnyWorker, At, Mesh, Told, plan, running
from tests.kit.roles import Gated, Hanging, echo, fails, says

pytestmark = pytest.mark.asyncio

SHED = (("fanmesh-criticality", "SHEDDABLE"), ("fanmesh-request-id", "mine-1"))


class Innermost:
    """The worker at the end; it keeps what it is told."""

    def __init__(self) -> None:
        self.contexts: list[Context] = []

        @worker("inner")
        async def inner(data: Any, ctx: Context) -> Any:
            self.contexts.append(ctx)
            return data

        self.worker: Worker[Any] = inner


def told(mesh: Mesh, **keys: Any) -> Told:
    """A dispatcher as a worker of the next one. `policy: none`: each call is made once."""
    return Told(At(f"127.0.0.1:{mesh.dispatcher.port}", **keys), {"policy": "none", "attributes": ["tenant"]})


@asynccontextmanager
async def nested(inner: Mapping[str, AnyWorker], depth: int) -> AsyncIterator[list[Mesh]]:
    """So many dispatchers, the outermost first; each runs the plan `p`, whose only branch is the dispatcher after it."""
    async with AsyncExitStack() as stack:
        meshes: list[Mesh] = []
        workers: Mapping[str, AnyWorker] = inner
        for _ in range(depth):
            plans = {"p": plan(*workers, budget="30s", merge_reserve="2s")}
            mesh = await stack.enter_async_context(running(workers, plans, attributes=["tenant"]))
            meshes.insert(0, mesh)
            workers = {"p": told(mesh)}
        yield meshes


async def process(mesh: Mesh, metadata: Metadata = (("fanmesh-worker", "p"),), **fields: Any) -> worker_pb2.ProcessResponse:
    """One call of a dispatcher as a worker; its input is `{}` if none is given."""
    work = worker_pb2.ProcessRequest(**{"input": payload_pb2.Payload(json="{}"), "request_id": "r"} | fields)
    async with asyncio.timeout(PATIENCE):
        reply = await mesh.channel.unary(PROCESS, work.SerializeToString(), metadata=metadata)
    return worker_pb2.ProcessResponse.FromString(reply.payload)


async def failed(mesh: Mesh, metadata: Metadata = (("fanmesh-worker", "p"),), **fields: Any) -> Heard:
    """The status of a call that fails."""
    with pytest.raises(RpcError) as caught:
        await process(mesh, metadata, **fields)
    return Heard(caught.value.code, caught.value.message, caught.value.trailers)


async def test_three_dispatchers_in_a_row() -> None:
    """Request id, criticality and the kind of the attempt reach the innermost worker; hops count the dispatchers."""
    innermost = Innermost()
    async with nested({"w": innermost.worker}, 3) as meshes:
        metadata = (*SHED, ("fanmesh-attempt-kind", "hedge"))
        heard = await meshes[0].dispatch(ask(json='{"a": 1}', attributes={"tenant": "acme"}), metadata=metadata)
    assert heard.code is Code.OK, heard.message
    assert heard.response.result.json == '{"p":{"p":{"w":{"a":1}}}}'
    (ctx,) = innermost.contexts
    assert ctx.request_id == ctx.metadata["fanmesh-request-id"] == "mine-1"
    assert ctx.metadata["fanmesh-criticality"] == "SHEDDABLE"
    assert ctx.metadata["fanmesh-hops"] == "3"
    assert ctx.metadata["fanmesh-attempt-kind"] == "hedge"


async def test_a_shadow_stays_a_shadow() -> None:
    """What is only compared is only compared all the way in: the innermost worker suppresses its side effects."""
    innermost = Innermost()
    async with nested({"w": innermost.worker}, 2) as meshes:
        await process(meshes[0], shadow=True)
    (ctx,) = innermost.contexts
    assert ctx.shadow
    assert ctx.metadata["fanmesh-attempt-kind"] == "shadow"


async def test_a_further_attempt_is_one_without_metadata_too() -> None:
    """The message counts attempts: from the second on it is a retry, unless the metadata knows better."""
    innermost = Innermost()
    async with running({"w": innermost.worker}, {"p": plan("w")}) as mesh:
        await process(mesh, attempt=1)
        await process(mesh, (("fanmesh-worker", "p"), ("fanmesh-attempt-kind", "hedge")), attempt=1)
    assert [ctx.metadata["fanmesh-attempt-kind"] for ctx in innermost.contexts] == ["retry", "hedge"]


async def test_the_time_that_is_left_shrinks() -> None:
    """Each dispatcher gives the next one what it has left, less its reserve: the innermost has the least."""
    hanging = Hanging()
    async with nested({"w": hanging.worker}, 3) as meshes:
        call = asyncio.create_task(meshes[0].dispatch(ask(), within=20.0))
        await hanging.called.wait()
        left = hanging.contexts[0].remaining()
        assert left is not None
        assert 0 < left < 15.0  # 20 less three times 2, which gRPC rounds up by 1 % at most
        call.cancel()
        await hanging.cancelled.wait()  # and a caller that hangs up is heard of at the end of the row


async def test_four_dispatchers_are_the_most() -> None:
    """The fourth one's workers are called with hops 4; a fifth dispatcher refuses, and its workers are not called."""
    innermost = Innermost()
    async with nested({"w": innermost.worker}, 2) as meshes:
        assert (await meshes[0].dispatch(ask(), metadata=(("fanmesh-hops", "2"),))).code is Code.OK
        assert innermost.contexts.pop().metadata["fanmesh-hops"] == "4"
        heard = await meshes[0].dispatch(ask(failure_in_message=True), metadata=(("fanmesh-hops", "3"),))
        assert heard.row("p").status.code == int(Code.FAILED_PRECONDITION)
        assert "passed 4 dispatchers" in heard.row("p").status.message
        refused = await failed(meshes[1], (("fanmesh-worker", "p"), ("fanmesh-hops", "4")))
        assert (refused.code, refused.info.reason) == (Code.FAILED_PRECONDITION, "TOO_MANY_HOPS")
    assert innermost.contexts == []


async def test_the_answer_is_the_result() -> None:
    """The merged result in the kind of the input, whether it is complete, and what all branches have used."""

    @worker("dear")
    async def dear(ctx: Context) -> Any:
        ctx.report(input_tokens=3, output_tokens=4, cost_usd="0.0002")
        return {"n": 1.0}

    async with running({"a": dear, "b": dear}, {"p": plan("a", "b")}) as mesh:
        answer = await process(mesh)
        assert answer.output.json == '{"a":{"n":1.0},"b":{"n":1.0}}'
        assert dict(answer.labels) == {"fanmesh-complete": "true"}
        used = answer.usage
        assert (used.input_tokens, used.output_tokens, used.cost_usd_micros) == (6, 8, 400)
        assert not answer.HasField("confidence")
        data = await process(mesh, input=payload_pb2.Payload(data=struct(x=1.0)))
        assert data.output.WhichOneof("body") == "data"


async def test_a_part_of_a_result_says_so() -> None:
    """A result that lacks a branch is an answer, too; its label says that it is not complete, and nothing was used."""
    async with running({"a": echo, "b": fails(Code.NOT_FOUND)}, {"p": plan("a", "b")}) as mesh:
        answer = await process(mesh)
    assert answer.output.json == '{"a":{}}'
    assert dict(answer.labels) == {"fanmesh-complete": "false"}
    assert not answer.HasField("usage")


async def test_a_failure_is_the_same_as_that_of_dispatch() -> None:
    """Code, message, details and pushback: an outer dispatcher learns that a retry would only repeat what was done."""
    async with running({"w": fails(Code.NOT_FOUND, "none")}, {"p": plan("w")}) as mesh:
        asked = await mesh.dispatch(ask())
        heard = await failed(mesh)
    assert (heard.code, heard.message, heard.info) == (asked.code, asked.message, asked.info)
    assert heard.trailer("grpc-retry-pushback-ms") == asked.trailer("grpc-retry-pushback-ms") == "-1"
    assert heard.trailer("fanmesh-complete") == "false"
    assert heard.summary is not None


async def test_the_name_chooses_the_plan_or_the_routes_do() -> None:
    """`fanmesh-worker` names a plan if there is one of that name; any other name leaves the choice to the routes."""
    plans = {"p": plan("w"), "q": plan("w", "v")}
    routes = [{"if": "input.n > 0", "plan": "q"}]
    workers = {"w": says(1), "v": says(2)}
    one = payload_pb2.Payload(json='{"n": 1}')
    async with running(workers, plans, routes=routes) as mesh:
        assert (await process(mesh, (("fanmesh-worker", "p"),), input=one)).output.json == '{"w":1}'
        assert (await process(mesh, (("fanmesh-worker", "anything"),), input=one)).output.json == '{"w":1,"v":2}'
        assert (await process(mesh, (), input=one)).output.json == '{"w":1,"v":2}'
        nowhere = await failed(mesh, (), input=payload_pb2.Payload(json='{"n": 0}'))
        assert (nowhere.code, nowhere.info.reason) == (Code.NOT_FOUND, "NO_ROUTE")


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"attributes": {"tennant": "x"}}, "attributes.tennant"),
        ({"allowance": payload_pb2.Usage(input_tokens=1)}, "allowance"),
        ({"input": payload_pb2.Payload(json="{")}, "input.json"),
        ({"request_id": "ü"}, "fanmesh-request-id"),
    ],
)
async def test_what_cannot_be_taken_over_is_refused(fields: dict[str, Any], names: str) -> None:
    """By the name of the field, as Dispatch refuses it; a limit on what may be used is not ignored."""
    async with running({"w": echo}, {"p": plan("w")}) as mesh:
        heard = await failed(mesh, **fields)
    assert (heard.code, dict(heard.info.metadata)) == (Code.INVALID_ARGUMENT, {"field": names})


async def test_a_caller_without_metadata_is_still_known() -> None:
    """The message says who asks and whether it is a shadow, if the metadata does not; metadata of its own comes first."""
    innermost = Innermost()
    async with running({"w": innermost.worker}, {"p": plan("w")}) as mesh:
        await process(mesh, request_id="from-message")
        await process(mesh, (("fanmesh-worker", "p"), ("fanmesh-request-id", "from-metadata")), request_id="from-message")
        with pytest.raises(RpcError, match=r"not a fanmesh\.v1\.ProcessRequest"):
            await mesh.channel.unary(PROCESS, b"\xff\xff", metadata=(("fanmesh-worker", "p"),))
    assert [ctx.request_id for ctx in innermost.contexts] == ["from-message", "from-metadata"]


@pytest.mark.parametrize("key", ["k" * 257, "größe/p/w"])
async def test_a_key_of_any_form_is_taken(key: str) -> None:
    """An outer dispatcher adds its plan and branch to the caller's key, so its own may be longer, or not ASCII."""
    innermost = Innermost()
    async with running({"w": innermost.worker}, {"p": plan("w")}) as mesh:
        for _ in range(2):
            assert (await process(mesh, idempotency_key=key)).output.json == '{"w":{}}'
        await process(mesh, idempotency_key=f"{key}!")
    assert len(innermost.contexts) == 2


async def test_a_full_house_refuses_workers_calls_too() -> None:
    """The door is the same: max_in_flight counts both services, and the pushback reaches the outer dispatcher."""
    gate = Gated("done")
    async with running({"w": gate.worker}, {"p": plan("w", budget="60s")}, server={"max_in_flight": 1}) as mesh:
        call = asyncio.create_task(process(mesh))
        await gate.all_called(1)
        heard = await failed(mesh)
        assert (heard.code, heard.info.reason) == (Code.RESOURCE_EXHAUSTED, "OVERLOADED")
        assert int(heard.trailer("grpc-retry-pushback-ms") or -1) >= 100
        gate.open.set()
        assert (await call).output.json == '{"w":"done"}'
        await mesh.idle()


async def test_a_stream_is_the_result_so_far() -> None:
    """Parts replace one another; the last one is the result with its label."""
    gate = Gated(2)
    async with running({"a": says(1), "b": gate.worker}, {"p": plan("a", "b", budget="60s")}) as mesh:
        work = worker_pb2.ProcessStreamRequest(input=payload_pb2.Payload(json="{}"), request_id="r")
        stream = mesh.channel.stream(PROCESS_STREAM, work.SerializeToString(), metadata=(("fanmesh-worker", "p"),))
        async with asyncio.timeout(PATIENCE), aclosing(stream):
            seen = worker_pb2.ProcessStreamResponse.FromString(await anext(stream))
            gate.open.set()
            parts = [seen, *[worker_pb2.ProcessStreamResponse.FromString(raw) async for raw in stream]]
    assert parts[0].part.json == '{"a":1}'
    assert parts[-1].part.json == '{"a":1,"b":2}'
    assert dict(parts[-1].labels) == {"fanmesh-complete": "true"}
    assert {part.mode for part in parts} == {worker_pb2.PART_MODE_REPLACE}


async def test_a_stream_through_two_dispatchers() -> None:
    """A dispatcher that is configured as a streaming worker answers like one, and fails like one."""
    plans = {"p": plan("w"), "bad": plan("v")}
    async with running({"w": echo, "v": fails(Code.NOT_FOUND)}, plans, attributes=["tenant"]) as inner:
        workers = {name: told(inner, stream=True) for name in ("p", "bad")}
        async with running(workers, {"outer": plan("p", "bad")}, attributes=["tenant"]) as mesh:
            heard = await mesh.dispatch(ask("outer", json='{"a": 1}'))
    assert heard.code is Code.OK, heard.message
    assert heard.response.result.json == '{"p":{"w":{"a":1}}}'
    assert heard.row("bad").status.code == int(Code.UNAVAILABLE)

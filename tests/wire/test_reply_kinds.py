"""In which encoding a result comes, and what is carried through without being opened."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.timestamp_pb2 import Timestamp

from fanmesh.jsontext import ANSWER_DEPTH
from fanmesh.model.fault import Code
from fanmesh.model.states import AggregatorMode, BranchReason, BranchState
from fanmesh.transport.port import MIB, ServerCall
from fanmesh.v1 import dispatcher_pb2, payload_pb2, report_pb2, worker_pb2
from fanmesh.workers import worker
from tests.kit.calls import ask, struct
from tests.kit.mesh import Mesh, Raw, plan, running
from tests.kit.roles import echo, fails, message, says

pytestmark = pytest.mark.asyncio

DATA, JSON = dispatcher_pb2.PAYLOAD_KIND_DATA, dispatcher_pb2.PAYLOAD_KIND_JSON
BIG = 2**60
PNG = payload_pb2.Blob(content_type="image/png", value=b"\x89PNG\x00\xff")
FOREIGN = AnyMessage(type_url="type.example.com/shop.Cart", value=b"\x0a\x03abc")


async def mirror(raw: bytes, _: ServerCall) -> bytes:
    """Answers with the payload it was sent, byte for byte, whatever is in it."""
    return worker_pb2.ProcessResponse(output=worker_pb2.ProcessRequest.FromString(raw).input).SerializeToString()


@pytest_asyncio.fixture
async def mesh() -> AsyncIterator[Mesh]:
    """Workers that answer in every encoding."""
    workers = {
        "echo": echo,
        "mirror": Raw(unary=mirror),
        "png": message(output=payload_pb2.Payload(blob=PNG)),
        "cart": message(output=payload_pb2.Payload(message=FOREIGN)),
        "when": message(output=payload_pb2.Payload(message=packed(Timestamp(seconds=1)))),
        "nothing": message(),
        "text": says("text"),
        "big": says({"n": BIG}),
        "fails": fails(Code.INTERNAL),
    }
    plans = {
        "p": plan("echo"),
        "mirrored": plan("mirror", merge="first"),
        "first_png": plan("fails", "png", merge="first"),
        "priority_png": plan("fails", "png", "text", merge={"priority": ["fails", "png", "text"]}),
        "cart": plan("cart", merge="first"),
        "collected_png": plan("png", "text"),
        "when": plan("when", merge="first"),
        "nothing": plan("nothing", merge="first"),
        "text": plan("text", merge="first"),
        "big": plan("big", merge="first"),
        "deep": plan("png", "text", merge="deep_merge"),
    }
    async with running(workers, plans) as mesh:
        yield mesh


def packed(stamp: Timestamp) -> AnyMessage:
    """A message that every program knows."""
    out = AnyMessage()
    out.Pack(stamp)
    return out


@pytest.mark.parametrize(
    ("request_", "body"),
    [
        (ask(data=struct(a=1)), "data"),
        (ask(json='{"a":1}'), "json"),
        (ask(data=struct(a=1), reply_kind=JSON), "json"),
        (ask(json='{"a":1}', reply_kind=DATA), "data"),
        (dispatcher_pb2.DispatchRequest(plan="p"), "json"),
    ],
    ids=["data", "json", "data as json", "json as data", "no input"],
)
async def test_the_kind_of_the_result(mesh: Mesh, request_: dispatcher_pb2.DispatchRequest, body: str) -> None:
    """The result comes in the kind of the input, or as reply_kind says; on a stream, snapshots do as well."""
    heard = await mesh.dispatch(request_)
    assert heard.response.result.WhichOneof("body") == body
    streamed = await mesh.stream(request_, emit=2)
    assert streamed.response.result == heard.response.result
    assert [event.snapshot.WhichOneof("body") for event in streamed.events[:-1]] == [body]


@pytest.mark.parametrize(
    "payload",
    [
        payload_pb2.Payload(data=struct(n=2.0**60, x=float("nan"))),
        payload_pb2.Payload(json='{ "n" : 1152921504606846976 }'),
        payload_pb2.Payload(blob=PNG),
        payload_pb2.Payload(message=FOREIGN),
    ],
    ids=["data", "json", "blob", "message"],
)
async def test_an_input_reaches_the_worker_as_it_came(payload: payload_pb2.Payload) -> None:
    """Nothing reads it on the way, so it is not rewritten, not even where we would refuse to read it."""
    received: list[payload_pb2.Payload] = []

    async def listens(raw: bytes, _: ServerCall) -> bytes:
        received.append(worker_pb2.ProcessRequest.FromString(raw).input)
        return worker_pb2.ProcessResponse().SerializeToString()

    async with running({"w": Raw(unary=listens)}, {"p": plan("w")}) as mesh:
        await mesh.dispatch(dispatcher_pb2.DispatchRequest(plan="p", input=payload))
    assert [one.SerializeToString(deterministic=True) for one in received] == [payload.SerializeToString(deterministic=True)]


@pytest.mark.parametrize("name", ["first_png", "priority_png"])
@pytest.mark.parametrize("kind", [DATA, JSON])
async def test_a_blob_passes(mesh: Mesh, name: str, kind: dispatcher_pb2.PayloadKind) -> None:
    """`first` and `priority` choose whole values, so what nobody can open can be the result, in its own form."""
    heard = await mesh.dispatch(ask(name, reply_kind=kind, accept={"min_success": 1}))
    assert heard.response.result.blob == PNG
    assert heard.row("fails").state == BranchState.FAILED


async def test_a_blob_passes_from_caller_to_caller(mesh: Mesh) -> None:
    """A blob in the input comes back through a worker that mirrors it."""
    request = dispatcher_pb2.DispatchRequest(plan="mirrored", input=payload_pb2.Payload(blob=PNG))
    assert (await mesh.dispatch(request)).response.result.blob == PNG


async def test_a_message_of_unknown_type_passes(mesh: Mesh) -> None:
    """The same for a message whose descriptor the dispatcher does not have."""
    assert (await mesh.dispatch(ask("cart"))).response.result.message == FOREIGN


async def test_a_message_that_everybody_knows_is_opened(mesh: Mesh) -> None:
    """Well-known types have a JSON form, which merges can read."""
    assert json.loads((await mesh.dispatch(ask("when"))).response.result.json) == "1970-01-01T00:00:01Z"


@pytest.mark.parametrize("name", ["collected_png", "deep"])
async def test_a_blob_does_not_merge_into_a_map(mesh: Mesh, name: str) -> None:
    """A merge that needs JSON says so of the branch, and goes on with the others."""
    heard = await mesh.dispatch(ask(name, failure_in_message=True))
    row = heard.row("png")
    assert (row.state, row.reason) == (BranchState.FAILED, BranchReason.INVALID_RESPONSE)
    assert isinstance(row, report_pb2.BranchReport)
    assert "png" in row.status.message


@pytest.mark.parametrize(("name", "text"), [("nothing", "null"), ("text", '"text"')])
async def test_what_is_no_map_comes_as_json(mesh: Mesh, name: str, text: str) -> None:
    """A Struct is a map, so where `data` was asked for, everything else is written as JSON text."""
    assert (await mesh.dispatch(ask(name, reply_kind=DATA))).response.result.json == text


async def test_integers_beyond_doubles(mesh: Mesh) -> None:
    """Exact in JSON; in `data` the call is refused, with the path and the way out, rather than a little wrong."""
    heard = await mesh.dispatch(ask("big"))
    assert json.loads(heard.response.result.json) == {"n": BIG}
    refused = await mesh.stream(ask("big", reply_kind=DATA), emit=2)
    assert (refused.code, dict(refused.info.metadata)) == (Code.INVALID_ARGUMENT, {"field": "reply_kind"})
    assert "n: 1152921504606846976" in refused.message
    assert [event.WhichOneof("event") for event in refused.events] == ["final"]


@pytest.mark.parametrize("below", [0, 50, 100, 150, 200, 250, 300, 350, 1000])
async def test_a_reply_fits_into_what_callers_take_by_default(below: int) -> None:
    """Whatever is not refused as too large is below 4 MiB with its report: gRPC callers drop larger messages unread."""
    async with running({"w": says("x" * (4 * MIB - below))}, {"p": plan("w", merge="first")}) as mesh:
        for heard in (await mesh.dispatch(ask()), await mesh.stream(ask(), emit=2)):
            sizes = [one.ByteSize() for one in (heard.response, *heard.events)]
            assert max(sizes) <= 4 * MIB
            assert heard.info.reason == ("" if heard.code is Code.OK else "RESULT_TOO_LARGE")
            assert heard.code is Code.OK or below < 1000
            assert heard.code is Code.RESOURCE_EXHAUSTED or below > 100


@pytest.mark.parametrize("remote", [False, True])
async def test_an_answer_that_leaves_no_room_for_the_result_around_it_takes_nobody_down(*, remote: bool) -> None:
    """It is a bad answer of that branch, whoever merges; one that leaves room is merged."""

    @worker
    async def deep(levels: int) -> Any:
        value: Any = 1
        for _ in range(levels):
            value = {"n": value}
        return value

    async with running({"deep": deep, "fine": says(1)}, {"p": plan("deep", "fine")}, remote=remote) as mesh:
        taken = await mesh.dispatch(ask(json=str(ANSWER_DEPTH)))
        heard = await mesh.dispatch(ask(json=str(ANSWER_DEPTH + 1)))
    assert taken.report.complete
    assert json.loads(heard.response.result.json) == {"fine": 1}
    row = heard.row("deep")
    assert (row.state, row.reason) == (BranchState.FAILED, BranchReason.INVALID_RESPONSE)
    mode = AggregatorMode.REMOTE if remote else AggregatorMode.EMBEDDED
    assert taken.report.aggregator_mode == heard.report.aggregator_mode == mode

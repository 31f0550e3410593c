"""What travels with every attempt, and what does not."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any, Self

import ngh2
import pytest
import pytest_asyncio

from fanmesh.model.fault import Code
from fanmesh.transport.port import ServerCall
from fanmesh.v1 import worker_pb2
from tests.kit.calls import ask
from tests.kit.h2_peer import calling, message, request
from tests.kit.mesh import Mesh, Raw, Told, plan, running

pytestmark = pytest.mark.asyncio

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
OTHER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


class Listening:
    """A worker that keeps what it is sent: messages, metadata, and the seconds it has."""

    def __init__(self) -> None:
        self.requests: list[worker_pb2.ProcessRequest] = []
        self.metadata: list[dict[str, str]] = []
        self.remaining: list[float | None] = []
        self.raw = Raw(unary=self.unary)
        self.streaming = Raw(stream=self.stream)

    async def unary(self, raw: bytes, call: ServerCall) -> bytes:
        """Answer once."""
        self.note(raw, call)
        return worker_pb2.ProcessResponse().SerializeToString()

    async def stream(self, raw: bytes, call: ServerCall) -> AsyncIterator[bytes]:
        """Answer in one part."""
        self.note(raw, call)
        yield worker_pb2.ProcessStreamResponse().SerializeToString()

    def note(self, raw: bytes, call: ServerCall) -> None:
        """Keep it. A request of either method reads as the other's: the fields are the same."""
        self.requests.append(worker_pb2.ProcessRequest.FromString(raw))
        self.metadata.append({key: value for key, value in call.metadata if isinstance(value, str)})
        self.remaining.append(call.time_remaining())

    @property
    def last(self) -> tuple[worker_pb2.ProcessRequest, dict[str, str]]:
        """The last call."""
        return self.requests[-1], self.metadata[-1]


class Both:
    """The two kinds of worker, and a dispatcher that calls both in one plan."""

    def __init__(self) -> None:
        self.unary, self.stream = Listening(), Listening()
        self.mesh: Mesh

    def __iter__(self) -> Any:
        return iter((self.unary, self.stream))

    async def ask(self, metadata: tuple[tuple[str, str], ...] = (), within: float | None = None, **fields: Any) -> Self:
        """One request, which both answer."""
        heard = await self.mesh.dispatch(ask(**fields), metadata=metadata, within=within)
        assert heard.code is Code.OK, heard.message
        return self


@pytest_asyncio.fixture
async def both() -> AsyncIterator[Both]:
    """One is allowed to see one attribute, the other none."""
    out = Both()
    workers = {"geo": Told(out.unary.raw, {"attributes": ["tenant"]}), "text": out.stream.streaming}
    plans = {
        "p": plan("a", "b", budget="10s", merge_reserve="2s", a={"worker": "geo"}, b={"worker": "text"}),
        "timed": plan("a", "b", budget="10s", a={"worker": "geo", "timeout": "3s"}, b={"worker": "text", "timeout": "6s"}),
    }
    async with running(workers, plans, attributes=["tenant", "user"]) as out.mesh:
        yield out


async def test_every_attempt_says_who_and_what_it_is(both: Both) -> None:
    """Request id, worker, kind and criticality, one hop more than came; nothing about previous attempts on the first."""
    for listening, worker in zip(await both.ask(), ("geo", "text"), strict=True):
        request, told = listening.last
        assert re.fullmatch(r"[0-9a-f]{32}", told["fanmesh-request-id"])
        assert told["fanmesh-request-id"] == request.request_id
        assert told["fanmesh-worker"] == worker
        assert told["fanmesh-attempt-kind"] == "first"
        assert told["fanmesh-criticality"] == "CRITICAL"
        assert told["fanmesh-hops"] == "1"
        assert "grpc-previous-rpc-attempts" not in told
        assert (request.attempt, request.shadow, request.idempotency_key) == (0, False, "")
        assert not request.HasField("allowance")
        assert request.plan == "p"
    assert both.unary.last[0].branch == "a"
    assert both.stream.last[0].branch == "b"
    assert both.unary.last[0].request_id == both.stream.last[0].request_id


async def test_what_the_caller_says_goes_on(both: Both) -> None:
    """Request id, criticality and kind of attempt are the caller's, its hops are counted on; what it says to others stays."""
    sent = (
        ("fanmesh-request-id", "mine-1"),
        ("fanmesh-criticality", "SHEDDABLE"),
        ("fanmesh-hops", "2"),
        ("authorization", "Bearer secret"),
        ("fanmesh-attempt-kind", "hedge"),
        ("grpc-previous-rpc-attempts", "3"),
    )
    for listening in await both.ask(sent):
        request, told = listening.last
        assert told["fanmesh-request-id"] == request.request_id == "mine-1"
        assert told["fanmesh-criticality"] == "SHEDDABLE"
        assert told["fanmesh-hops"] == "3"
        assert told["fanmesh-attempt-kind"] == "hedge"
        assert not {"authorization", "grpc-previous-rpc-attempts"} & told.keys()


async def raw_dispatch(mesh: Mesh, tenant: bytes) -> dict[bytes, bytes]:
    """The last fields of the answer to a call with this metadata, made by a client that sends whatever it is given."""
    peer = await calling(mesh.dispatcher.port)
    stream = peer.h2.send_request(request(b"/fanmesh.v1.DispatcherService/Dispatch", (b"x-tenant", tenant)))
    peer.h2.send_data(stream, message(ask().SerializeToString()), end_stream=True)
    peer.flush()
    await peer.wait(ngh2.StreamClosed)
    peer.transport.abort()
    return {name: value for event in peer.events for name, value in getattr(event, "headers", None) or ()}


async def test_what_cannot_be_passed_on_is_the_callers_mistake() -> None:
    """A server takes bytes that a client does not send: it is the caller who is told, and no worker's breaker opens for it."""
    listening = Listening()
    worker = Told(listening.raw, {"metadata": ["x-tenant"], "policy": "standard"})
    async with running({"geo": worker}, {"p": plan("geo")}) as mesh:
        for _ in range(10):
            fields = await raw_dispatch(mesh, b"caf\xe9")
            assert fields[b"grpc-status"] == b"%d" % Code.INVALID_ARGUMENT
            assert b"the value of 'x-tenant' is not printable ASCII" in fields[b"grpc-message"]
        assert (await raw_dispatch(mesh, b"abc"))[b"grpc-status"] == b"0"
    assert [told["x-tenant"] for told in listening.metadata] == ["abc"]


async def test_two_requests_have_two_ids(both: Both) -> None:
    """An id that is made here is never made twice."""
    await both.ask()
    await both.ask()
    assert len({request.request_id for request in both.unary.requests}) == 2


async def test_a_trace_goes_on_as_it_came(both: Both) -> None:
    """An unsampled traceparent reaches every worker byte for byte, with its tracestate; two requests do not mix."""
    for parent in (PARENT, OTHER):
        for listening in await both.ask((("traceparent", parent), ("tracestate", "vendor=1"))):
            assert listening.last[1]["traceparent"] == parent
            assert listening.last[1]["tracestate"] == "vendor=1"


@pytest.mark.parametrize("parent", ["", "rubbish", "00-" + "0" * 32 + "-00f067aa0ba902b7-01", PARENT.upper()])
async def test_no_trace_or_a_malformed_one(both: Both, parent: str) -> None:
    """What is no trace context is not handed on, and is no reason to refuse a request."""
    for listening in await both.ask((("traceparent", parent),) if parent else ()):
        assert "traceparent" not in listening.last[1]


def about(left: float | None, seconds: float) -> bool:
    """Whether a worker's time can be this deadline: some has passed, or gRPC, which sends three digits, has rounded it up."""
    return left is not None and 0.75 * seconds < left <= 1.01 * seconds


async def test_the_workers_deadline_is_what_is_left(both: Both) -> None:
    """Without a timeout of its own a branch has until the plan's stop: its budget less the reserve for merging."""
    for listening in await both.ask():
        assert about(listening.remaining[-1], 8.0)


async def test_the_callers_deadline_is_shorter(both: Both) -> None:
    """The caller's deadline reaches every worker, less the reserve, which is at most a quarter of it."""
    for listening in await both.ask(within=4.0):
        assert about(listening.remaining[-1], 3.0)


async def test_a_tighter_budget_is_shorter(both: Both) -> None:
    """So does a budget in the request."""
    for listening in await both.ask(budget={"latency": {"seconds": 2}}):
        assert about(listening.remaining[-1], 1.5)


async def test_nothing_lengthens_a_budget(both: Both) -> None:
    """A caller with more time than the plan gets the plan's."""
    for listening in await both.ask(budget={"latency": {"seconds": 100}}, within=100.0):
        assert about(listening.remaining[-1], 8.0)


async def test_a_branchs_timeout_is_its_own(both: Both) -> None:
    """A branch's timeout bounds its worker alone, from the moment of its send."""
    await both.ask(plan="timed")
    assert about(both.unary.remaining[-1], 3.0)
    assert about(both.stream.remaining[-1], 6.0)


async def test_attributes_are_told_to_those_who_may_know(both: Both) -> None:
    """A worker sees the attributes on its list that the caller gave, in the message; not the others, and never as metadata."""
    await both.ask(attributes={"tenant": "acme", "user": "ada"})
    assert dict(both.unary.last[0].attributes) == {"tenant": "acme"}
    assert dict(both.stream.last[0].attributes) == {}
    assert not {"acme", "ada"} & {*both.unary.last[1].values(), *both.stream.last[1].values()}


async def test_an_attribute_that_was_not_given_is_not_sent(both: Both) -> None:
    """Absent stays absent: expressions read it as empty, workers do not get it."""
    await both.ask(attributes={"user": "ada"})
    assert dict(both.unary.last[0].attributes) == {}

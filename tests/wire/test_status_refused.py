"""The status table, first half: calls that are turned down before anything is sent."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from fanmesh.model.fault import Code
from fanmesh.transport.port import Metadata
from fanmesh.v1 import dispatcher_pb2
from tests.kit.calls import Heard, ask, size_of, struct
from tests.kit.mesh import Mesh, plan, running
from tests.kit.roles import Hanging

pytestmark = pytest.mark.asyncio

NAN = math.nan


@dataclass(frozen=True, slots=True)
class Case:
    """A call, and how it must end. `names` is the field in ErrorInfo; `says` stands in the message."""

    request: dispatcher_pb2.DispatchRequest | bytes
    says: str
    names: str = ""
    code: Code = Code.INVALID_ARGUMENT
    reason: str = "INPUT_INVALID"
    metadata: Metadata = ()
    told: tuple[tuple[str, str], ...] = ()

    @property
    def info(self) -> dict[str, str]:
        """What ErrorInfo must hold."""
        return {"field": self.names} if self.names else dict(self.told)


def latency(seconds: int, nanos: int = 0) -> dict[str, Any]:
    """A tighter budget."""
    return {"latency": {"seconds": seconds, "nanos": nanos}}


CASES = {
    "unknown plan": Case(ask("enrch"), "enrich", code=Code.NOT_FOUND, reason="PLAN_UNKNOWN", told=(("plan", "enrch"),)),
    "no route": Case(ask(""), "no route matched", code=Code.NOT_FOUND, reason="NO_ROUTE"),
    "not a message": Case(b"\xff\xff\xff\xff", "not a fanmesh.v1.DispatchRequest", "request"),
    "a message cut short": Case(ask(json='{"a": 1}').SerializeToString()[:-3], "not a fanmesh.v1.DispatchRequest", "request"),
    "broken JSON": Case(ask(json='{"a": '), "malformed JSON", "input.json"),
    "JSON with NaN": Case(ask(json='{"a": NaN}'), "malformed JSON", "input.json"),
    "JSON beyond 64 bits": Case(ask(json='{"a": {"n": 36893488147419103232}}'), "a.n", "input.json"),
    "empty JSON": Case(ask(json=""), "malformed JSON", "input.json"),
    "deep JSON": Case(ask(json="[" * 5000 + "]" * 5000), "input.json", "input.json"),
    "data with NaN": Case(ask("reads", data=struct(n=NAN)), "n: nan", "input"),
    "data with infinity": Case(ask("reads", data=struct(n=math.inf)), "n: inf", "input"),
    "data with 2^60": Case(ask("reads", data=struct(n=2.0**60)), "use `json`", "input"),
    "undeclared attribute": Case(ask(attributes={"tennant": "x"}), "declared: tenant", "attributes.tennant"),
    "a long key": Case(ask(idempotency_key="k" * 257), "more than 256 characters", "idempotency_key"),
    "a key not in ASCII": Case(ask(idempotency_key="schlüssel"), "not printable ASCII", "idempotency_key"),
    "a key of two lines": Case(ask(idempotency_key="a\nb"), "not printable ASCII", "idempotency_key"),
    "token budget": Case(ask(budget={"tokens": 5}), "not supported", "budget.tokens"),
    "money budget": Case(ask(budget={"cost_usd_micros": 5}), "not supported", "budget.cost_usd_micros"),
    "negative latency": Case(ask(budget=latency(-1)), "negative", "budget.latency"),
    "latency of mixed sign": Case(ask(budget=latency(1, -5)), "negative", "budget.latency"),
    "coverage above 1": Case(ask(accept={"min_coverage": 1.5}), "[0, 1]", "accept.min_coverage"),
    "coverage NaN": Case(ask(accept={"min_coverage": NAN}), "[0, 1]", "accept.min_coverage"),
    "unknown branch": Case(ask(accept={"required": ["nobody"]}), "no branch nobody", "accept.required"),
    "unknown reply kind": Case(ask(reply_kind=9), "9 is no PayloadKind", "reply_kind"),
    "hops": Case(ask(), "not a number", "fanmesh-hops", metadata=(("fanmesh-hops", "many"),)),
    "a fifth hop": Case(
        ask(),
        "4 is the most",
        code=Code.FAILED_PRECONDITION,
        reason="TOO_MANY_HOPS",
        metadata=(("fanmesh-hops", "4"),),
        told=(("hops", "4"),),
    ),
    "hops far beyond": Case(
        ask(),
        "passed 999 dispatchers",
        code=Code.FAILED_PRECONDITION,
        reason="TOO_MANY_HOPS",
        metadata=(("fanmesh-hops", "999"),),
        told=(("hops", "999"),),
    ),
    "a long id": Case(ask(), "more than 128", "fanmesh-request-id", metadata=(("fanmesh-request-id", "x" * 129),)),
    "criticality": Case(ask(), "none of CRITICAL", "fanmesh-criticality", metadata=(("fanmesh-criticality", "VIP"),)),
}


@pytest_asyncio.fixture
async def hanging() -> Hanging:
    """The only worker; it must never be called."""
    return Hanging()


@pytest_asyncio.fixture
async def mesh(hanging: Hanging) -> AsyncIterator[Mesh]:
    """A dispatcher with one route, which does not match."""
    plans = {"p": plan("w"), "enrich": plan("w"), "reads": plan("w", w={"if": "input.n > 0"})}
    routes = [{"if": 'attributes.tenant == "acme"', "plan": "p"}]
    async with running({"w": hanging.worker}, plans, attributes=["tenant"], routes=routes) as mesh:
        yield mesh


@pytest.mark.parametrize("name", CASES)
async def test_refused_as_a_status(mesh: Mesh, hanging: Hanging, name: str) -> None:
    """Each has its code, reason and field; no worker was called, and there is no report of nothing."""
    case = CASES[name]
    heard = await mesh.dispatch(case.request, metadata=case.metadata)
    check(heard, case)
    assert heard.rich is not None
    assert (heard.rich.code, heard.rich.message) == (int(heard.code), heard.message)
    assert heard.trailer("fanmesh-complete") == "false"
    assert heard.trailer("grpc-retry-pushback-ms") is None
    assert not hanging.called.is_set()


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not isinstance(case.request, bytes)])
async def test_refused_in_the_message(mesh: Mesh, hanging: Hanging, name: str) -> None:
    """With failure_in_message the call is OK, and `outcome` is the status it would have had. Nothing ran: no report."""
    case = CASES[name]
    request = dispatcher_pb2.DispatchRequest()
    assert isinstance(case.request, dispatcher_pb2.DispatchRequest)
    request.CopyFrom(case.request)
    request.failure_in_message = True
    for heard in (await mesh.dispatch(request, metadata=case.metadata), await mesh.stream(request, metadata=case.metadata)):
        assert heard.code is Code.OK
        assert heard.trailer("fanmesh-complete") == "false"
        assert not heard.response.HasField("report")
        assert not heard.response.HasField("result")
        check(heard.outcome(), case)
    assert not hanging.called.is_set()


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not isinstance(case.request, bytes)])
async def test_refused_on_a_stream(mesh: Mesh, hanging: Hanging, name: str) -> None:
    """A stream ends in the same status, after one message that says the same."""
    case = CASES[name]
    assert isinstance(case.request, dispatcher_pb2.DispatchRequest)
    heard = await mesh.stream(case.request, emit=2, metadata=case.metadata)
    check(heard, case)
    assert [event.WhichOneof("event") for event in heard.events] == ["final"]
    check(heard.outcome(), case)
    assert not hanging.called.is_set()


@pytest.mark.parametrize(
    ("request_", "says", "field_"),
    [
        (b"\xff\xff", "not a fanmesh.v1.DispatchStreamRequest", "request"),
        (dispatcher_pb2.DispatchStreamRequest(request=ask(), emit=77).SerializeToString(), "77 is no EmitMode", "emit"),  # type: ignore[arg-type]  # a number
        (
            dispatcher_pb2.DispatchStreamRequest(request=ask(), min_interval={"seconds": -1}).SerializeToString(),
            "negative",
            "min_interval",
        ),
    ],
    ids=["not a message", "unknown emit mode", "negative interval"],
)
async def test_refused_fields_of_a_stream(mesh: Mesh, request_: bytes, says: str, field_: str) -> None:
    """What only a stream has is refused by name as well, an emit mode that is not known among it."""
    heard = await mesh.stream(request_)
    check(heard, Case(request_, says, field_))


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.metadata])
async def test_refused_by_explain(mesh: Mesh, name: str) -> None:
    """Explain refuses what Dispatch refuses, in the same words."""
    case = CASES[name]
    heard = await mesh.explain(case.request)
    assert isinstance(heard, Heard)
    if case.names == "request":
        case = Case(case.request, "not a fanmesh.v1.ExplainRequest", "request")
    check(heard, case)


LONG = {
    "plan": ask("q" * 20_000),
    "plan, not ASCII": ask("語" * 2_000),
    "attribute": ask(attributes={"a" * 20_000: ""}),
    "attribute, not ASCII": ask(attributes={"ü" * 5_000: ""}),
    "branches": ask(accept={"required": ["語" * 100 + str(i) for i in range(300)]}),
    "JSON": ask(json='{"' + "語" * 5_000 + '": 36893488147419103232}'),
    "line breaks": ask("\n\x00\x7f%" * 2_000),
}


@pytest.mark.parametrize("name", LONG)
async def test_long_names_do_not_break_the_status(mesh: Mesh, name: str) -> None:
    """What a caller sends back to itself is cut: trailers above 8 KB would replace the status by one about trailers."""
    heard = await mesh.dispatch(LONG[name])
    assert heard.code in {Code.NOT_FOUND, Code.INVALID_ARGUMENT}
    assert heard.info.reason in {"PLAN_UNKNOWN", "INPUT_INVALID"}
    assert size_of(heard.trailers) + 3 * len(heard.message.encode()) < 4096


def check(heard: Heard, case: Case) -> None:
    """Code, reason, domain, metadata, message."""
    assert (heard.code, heard.info.reason, heard.info.domain) == (case.code, case.reason, "fanmesh")
    assert dict(heard.info.metadata) == case.info
    assert case.says in heard.message
    assert heard.summary is None

"""A service that never heard of Fanmesh, generated from its own proto, as a branch: answers, parts, errors, metadata."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fanmesh.model.fault import Code
from fanmesh.payload import to_value
from fanmesh.v1 import dispatcher_pb2, report_pb2
from fanmesh.v1.payload_pb2 import Payload
from tests.kit.calls import Heard, ask
from tests.kit.mesh import NOWHERE, At, Mesh, Told, plan, running
from tests.kit.shop import CONVERT, HISTORY, Shop, shop_descriptors
from tests.wire.test_metadata import Listening

pytestmark = pytest.mark.asyncio

INPUT = {"from": {"currency_code": "${input.currency}", "units": "${int(input.amount)}"}, "to_code": "${input.to}"}
OUTPUT = {"eur": "${output.result.units}", "source": "${output.source}"}
MAPPED = {"input": INPUT, "output": OUTPUT}
SERVICE = CONVERT.partition("/")[0]


@asynccontextmanager
async def shopping(
    tmp_path: Path,
    shop: Shop,
    *,
    reflects: bool = False,
    stream: bool = False,
    config: dict[str, Any] | None = None,
    **keys: Any,
) -> AsyncIterator[Mesh]:
    """The shop, and a dispatcher with the plan `p` of one branch, `rates`, with `keys`. `config`: keys of the worker."""
    file = tmp_path / "shop.binpb"
    file.write_bytes(shop_descriptors())
    async with shop.serving(reflects=reflects) as address:
        known = {"reflection": True} if reflects else {"descriptors": str(file)}
        told = {"method": HISTORY if stream else CONVERT, **known, **(config or {})}
        server = {"limits": {"branch": "4KiB", "part": "64B"}}
        plans = {"p": plan("rates", budget="10s", rates=keys, merge="first")}
        async with running({"rates": Told(At(address, stream), told)}, plans, server=server) as mesh:
            yield mesh


def asked(value: Any, **fields: Any) -> dispatcher_pb2.DispatchRequest:
    """A request with that input."""
    return ask(input={"json": json.dumps(value)}, **fields)


def value_of(heard: Heard) -> Any:
    """The result of a reply that is OK."""
    assert heard.code is Code.OK, heard.message
    return to_value(heard.response.result)


async def row_of(mesh: Mesh, value: Any, **fields: Any) -> report_pb2.BranchReport:
    """The row of the branch in a report of a failure."""
    heard = await mesh.dispatch(asked(value, failure_in_message=True, **fields))
    return heard.response.report.branches[0]


ORDER = {"currency": "USD", "amount": 2**60, "to": "EUR"}


@pytest.mark.parametrize("reflects", [False, True])
async def test_a_method_is_called_with_its_own_messages(tmp_path: Path, reflects: bool) -> None:  # noqa: FBT001
    """The request is built from the mapping, the answer is read by another; whole 64-bit integers both ways."""
    shop = Shop()
    async with shopping(tmp_path, shop, reflects=reflects, **MAPPED) as mesh:
        heard = await mesh.dispatch(asked(ORDER))
    assert value_of(heard) == {"eur": 2**59, "source": "SOURCE_FIXED"}
    source = {"from": {"currency_code": "USD", "units": 2**60}, "to_code": "EUR"}
    assert shop.requests == [shop.messages.ConvertRequest(**source)]


async def test_without_mappings_the_input_is_the_message(tmp_path: Path) -> None:
    """By protobuf's JSON mapping, as text or as a Struct; fields without presence are in the answer even if they are 0."""
    shop = Shop()
    async with shopping(tmp_path, shop) as mesh:
        for body in ({"json": '{"from": {"units": "7"}, "toCode": "X"}'}, {"data": {"from": {"units": 7}, "to_code": "X"}}):
            heard = await mesh.dispatch(ask(input=body))
            result = {"currency_code": "X", "units": 3, "nanos": 0}
            assert value_of(heard) == {"result": result, "source": "SOURCE_FIXED"}
        closed = Payload()
        closed.message.Pack(shop.requests[0])
        assert value_of(await mesh.dispatch(ask(input=closed)))["result"]["units"] == 3
    assert len({request.SerializeToString() for request in shop.requests}) == 1


async def test_an_input_that_is_no_request_is_not_sent(tmp_path: Path) -> None:
    """INVALID_ARGUMENT with the path of the field; the service hears nothing of it."""
    shop = Shop()
    async with shopping(tmp_path, shop) as mesh:
        row = await row_of(mesh, {"from": {"unit": 5}})
        assert row.status.code == Code.INVALID_ARGUMENT
        assert row.status.message == "input.from.unit: shop.Money has no field 'unit'"
        row = await row_of(mesh, [])
        assert row.status.message == "input: a list is not a mapping, and this is a shop.ConvertRequest"
    assert shop.requests == []


async def test_their_errors_are_our_faults(tmp_path: Path) -> None:
    """The code and the text as they came, and what the rich status says beside it."""
    async with shopping(tmp_path, Shop(), **MAPPED) as mesh:
        row = await row_of(mesh, {**ORDER, "to": "RICH"})
        assert row.status.code == Code.FAILED_PRECONDITION
        assert row.status.message == "no (from.units: too few)"
        assert row.reason == report_pb2.BRANCH_REASON_WORKER_ERROR
        row = await row_of(mesh, {**ORDER, "to": "BIG"})
        assert row.reason == report_pb2.BRANCH_REASON_TOO_LARGE


async def test_policies_apply_as_to_any_worker(tmp_path: Path) -> None:
    """UNAVAILABLE is tried again, and the service is told which attempt it is."""
    shop = Shop()
    shop.refusals = 1
    async with shopping(tmp_path, shop, config={"policy": "standard"}, **MAPPED) as mesh:
        heard = await mesh.dispatch(asked({**ORDER, "to": "GONE"}))
    assert value_of(heard)["eur"] == 2**59
    assert [told["fanmesh-attempt-kind"] for told in shop.metadata] == ["first", "retry"]
    assert shop.metadata[1]["grpc-previous-rpc-attempts"] == "1"


async def test_a_method_has_what_time_is_left_and_is_cancelled(tmp_path: Path) -> None:
    """The branch's timeout is the call's deadline; a caller who goes away ends the call at the service."""
    shop = Shop()
    async with shopping(tmp_path, shop, timeout="8s", **MAPPED) as mesh:
        call = asyncio.ensure_future(mesh.dispatch(asked({**ORDER, "to": "HANG"})))
        await asyncio.wait_for(shop.arrived.wait(), 5)
        (left,) = shop.remaining
        assert left is not None
        assert 6.0 < left <= 8.1
        call.cancel()
        await asyncio.wait_for(shop.cancelled.wait(), 5)


@pytest.mark.parametrize("days", [3, 0])
async def test_answers_in_parts_are_a_list(tmp_path: Path, days: int) -> None:
    """Each message is an element; none at all is the empty list, and not null."""
    async with shopping(tmp_path, Shop(), stream=True) as mesh:
        heard = await mesh.dispatch(asked({"days": days}))
    expected = [{"day": f"1970-01-0{day + 1}T00:00:00Z", "rate": day / 2} for day in range(days)]
    assert value_of(heard) == expected


async def test_an_output_mapping_reads_the_whole_list(tmp_path: Path) -> None:
    """It is applied once, when the last message has come."""
    async with shopping(tmp_path, Shop(), stream=True, output={"rates": "${output.map(r, r.rate)}"}) as mesh:
        assert value_of(await mesh.dispatch(asked({"days": 3}))) == {"rates": [0.0, 0.5, 1.0]}


async def test_a_stream_may_break(tmp_path: Path) -> None:
    """As of a worker of ours; NaN, which JSON cannot say, and messages over the limit end it."""
    async with shopping(tmp_path, Shop(), stream=True) as mesh:
        row = await row_of(mesh, {"days": 2, "code": "BROKEN"})
        assert row.reason == report_pb2.BRANCH_REASON_STREAM_BROKEN
        assert row.status.message == "broke after 2 parts: DATA_LOSS: the rest is gone"
        row = await row_of(mesh, {"days": 1, "code": "NAN"})
        assert row.reason == report_pb2.BRANCH_REASON_INVALID_RESPONSE
        assert row.status.message == "part 0: rate: nan is not JSON"
        row = await row_of(mesh, {"days": 2000})
        assert row.reason == report_pb2.BRANCH_REASON_TOO_LARGE


SECRET = (("authorization", "Bearer me"), ("x-tenant", "acme"), ("x-other", "no"), ("trace-bin", b"\x00\xff"))


async def test_only_the_listed_metadata_goes_on(tmp_path: Path) -> None:
    """Byte for byte, every value of a key; what is not on the worker's list stays here, also if it is on another's."""
    shop, other = Shop(), Listening()
    file = tmp_path / "shop.binpb"
    file.write_bytes(shop_descriptors())
    method = {"method": CONVERT, "descriptors": str(file), "metadata": ["authorization", "trace-bin"]}
    async with AsyncExitStack() as stack:
        address = await stack.enter_async_context(shop.serving())
        workers = {"rates": Told(At(address), method), "geo": Told(other.raw, {"metadata": ["x-tenant"]})}
        mesh = await stack.enter_async_context(running(workers, {"p": plan("rates", "geo", budget="10s")}))
        heard = await mesh.dispatch(asked({}), metadata=(*SECRET, ("x-tenant", "second")))
        assert heard.code is Code.OK, heard.message
    (told,) = shop.metadata
    assert (told["authorization"], told["trace-bin"]) == ("Bearer me", b"\x00\xff")
    assert not {"x-tenant", "x-other"} & told.keys()
    assert told["fanmesh-worker"] == "rates"
    assert other.metadata[0]["x-tenant"] == "second"
    assert not {"authorization", "trace-bin", "x-other"} & other.metadata[0].keys()


async def test_without_a_list_nothing_goes_on(tmp_path: Path) -> None:
    """A secret is not for whoever happens to be a branch."""
    shop = Shop()
    async with shopping(tmp_path, shop) as mesh:
        await mesh.dispatch(asked({}), metadata=SECRET)
    assert not {key for key, _ in SECRET} & shop.metadata[0].keys()


async def test_explain_names_the_method(tmp_path: Path) -> None:
    """It is the leaf of the branch's layers."""
    async with shopping(tmp_path, Shop()) as mesh:
        told = await mesh.explain(asked({}, plan="p"))
    assert isinstance(told, dispatcher_pb2.ExplainResponse)
    assert told.nodes[0].layers[-1] == f"leaf ({CONVERT})"


# ---------------------------------------------------------------- reflection


async def test_a_method_that_nobody_knows_yet_is_as_unavailable_as_its_server() -> None:
    """Never sent, so that even a write may be tried again; the text says what is not known, and why."""
    told = {"method": CONVERT, "reflection": True}
    async with running({"rates": Told(NOWHERE, told)}, {"p": plan("rates", budget="10s")}) as mesh:
        row = await row_of(mesh, {})
    assert row.status.code == Code.UNAVAILABLE
    assert row.status.message.startswith(f"{CONVERT}: reflection at 127.0.0.1:1: UNAVAILABLE: ")


async def test_a_method_is_learnt_when_its_server_is_there() -> None:
    """A server that starts later is asked again, and the branch works from then on, without a restart."""
    shop = Shop()
    async with shop.serving(reflects=True):
        port = shop.port  # a port that is ours, and free when the dispatcher starts
    told = {"method": CONVERT, "reflection": True}
    workers = {"rates": Told(At(f"127.0.0.1:{port}"), told)}
    async with running(workers, {"p": plan("rates", budget="10s")}, ready_within=0.05) as mesh:
        assert (await row_of(mesh, {})).status.code == Code.UNAVAILABLE
        async with shop.serving(reflects=True, port=port), asyncio.timeout(30):
            while (heard := await mesh.dispatch(asked({}))).code is not Code.OK:
                await mesh.idle()
    assert value_of(heard)["rates"]["source"] == "SOURCE_FIXED"


@pytest.mark.parametrize(
    ("method", "stream", "says"),
    [
        (f"{SERVICE}/Nothing", False, f"{SERVICE} has no method 'Nothing'; there are Convert, History"),
        ("shop.Nobody/Convert", False, "reflection at "),
        (HISTORY, False, f"{HISTORY} answers in parts: `stream: true` is missing"),
        (CONVERT, True, f"{CONVERT} answers once: `stream: true` is wrong"),
    ],
)
async def test_what_reflection_says_is_checked_when_it_says_it(method: str, stream: bool, says: str) -> None:  # noqa: FBT001
    """What a file of descriptors would have shown at load is the branch's failure now, in the same words."""
    shop = Shop()
    async with shop.serving(reflects=True) as address:
        worker = Told(At(address, stream), {"method": method, "reflection": True})
        async with running({"rates": worker}, {"p": plan("rates", budget="10s")}) as mesh:
            row = await row_of(mesh, {})
    assert says in row.status.message
    assert shop.requests == []


async def test_a_server_without_reflection_says_so() -> None:
    """Both versions of the protocol have been tried."""
    async with Shop().serving() as address:
        worker = Told(At(address), {"method": CONVERT, "reflection": True})
        async with running({"rates": worker}, {"p": plan("rates", budget="10s")}) as mesh:
            row = await row_of(mesh, {})
    assert row.status.message.endswith("the server has no reflection service")

"""Equal calls over real gRPC: counted at the worker, told apart by who asks, and given up by whom they were made for."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from dispatcher.assembly import MERGES
from dispatcher.config import Config, load_mapping
from fanmesh.model.fault import Code
from fanmesh.model.states import BranchReason, BranchState
from fanmesh.transport.port import ServerCall
from fanmesh.v1 import dispatcher_pb2, payload_pb2, worker_pb2
from fanmesh.workers import Context, Fault, Worker, worker
from tests.kit.calls import Heard, ask
from tests.kit.mesh import Mesh, Raw, Told, plan, running, yielded
from tests.kit.roles import Gated, Hanging
from tests.kit.scraping import scrape

pytestmark = pytest.mark.asyncio

MANY = 40
TTL, JOIN = {"ttl": "10m"}, {"ttl": "0s"}


def cached(cache: Any, **branch: Any) -> dict[str, Any]:
    """A plan of one branch `a` with this cache."""
    return {"p": plan("a", budget="10s", a={"cache": cache, **branch})}


def counts(mesh: Mesh) -> dict[str, int]:
    """What came of asking."""
    return mesh.dispatcher.books.caches.branches["p", "a"].counts


async def waiting(mesh: Mesh, count: int) -> None:
    """Until so many wait for a call that another makes."""
    flights = mesh.dispatcher.books.caches.branches["p", "a"].flights
    async with asyncio.timeout(10):
        while sum(len(flight.waiting) for flight in flights._flights.values()) != count:
            await yielded()


def decided(heard: Heard) -> list[str]:
    """What was decided for the branch."""
    return [decision.what for decision in heard.row("a").decisions]


class Counted:
    """Answers with how often it was called, to whomever asks."""

    def __init__(self) -> None:
        self.calls: list[dict[str, str]] = []
        self.raw = Raw(unary=self._process)

    async def _process(self, _: bytes, call: ServerCall) -> bytes:
        self.calls.append({key: value for key, value in call.metadata if isinstance(value, str)})
        return worker_pb2.ProcessResponse(output=payload_pb2.Payload(json=str(len(self.calls)))).SerializeToString()


@pytest.mark.parametrize("remote", [False, True], ids=["merged here", "merged elsewhere"])
async def test_one_call_for_all_who_ask_at_once(remote: bool) -> None:  # noqa: FBT001
    """Forty requests, one call; each is answered in full. Later ones are answered without any."""
    gated = Gated({"n": 1})
    async with running({"a": gated.worker}, cached(TTL), remote=remote) as mesh:
        asked = [asyncio.ensure_future(mesh.dispatch(ask())) for _ in range(MANY)]
        await gated.all_called(1)
        await waiting(mesh, MANY - 1)
        gated.open.set()
        heard = [await one for one in asked]
        heard += [await mesh.dispatch(ask()) for _ in range(3)]
        assert {one.response.result.json for one in heard} == {'{"a":{"n":1}}'}
        assert all(one.code is Code.OK and one.report.complete for one in heard)
        assert sorted(what for one in heard for what in decided(one)) == ["cache_hit"] * 3 + ["cache_joined"] * (MANY - 1)
        assert sum(len(one.row("a").attempts) for one in heard) == 1
        assert counts(mesh) == {"miss": 1, "joined": MANY - 1, "hit": 3}
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(gated.all_called(1), 0)


async def test_another_authorization_is_another_call() -> None:
    """What one caller may see is not shown to another, whatever the configuration says makes calls equal."""
    counted = Counted()
    workers = {"a": Told(counted.raw, {"metadata": ["authorization"], "attributes": ["tenant"]})}
    async with running(workers, cached({**TTL, "key": "same"}), attributes=["tenant", "other"]) as mesh:
        mine, yours = (("authorization", "mine"),), (("authorization", "yours"),)
        heard = [await mesh.dispatch(ask(json=json), metadata=who) for json in ("1", "2") for who in (mine, yours, ())]
        assert [one.response.result.json for one in heard] == [f'{{"a":{n}}}' for n in (1, 2, 3, 1, 2, 3)]
        assert [call.get("authorization") for call in counted.calls] == ["mine", "yours", None]
        for attributes in ({"tenant": "x"}, {"tenant": "y"}, {"tenant": "x", "other": "z"}):
            await mesh.dispatch(ask(attributes=attributes))
        assert len(counted.calls) == 5
        await mesh.dispatch(ask(), metadata=(("cookie", "a"), *mine))
        assert len(counted.calls) == 5


async def test_the_form_of_an_input_does_not_matter() -> None:
    """The same as JSON text in any order, and as a Struct: one call."""
    counted = Counted()
    async with running({"a": counted.raw}, cached(TTL)) as mesh:
        struct = payload_pb2.Payload()
        struct.data.update({"x": 1, "y": [True]})
        await mesh.dispatch(ask(json='{"x":1,"y":[true]}'))
        await mesh.dispatch(ask(json='{ "y": [true], "x": 1 }'))
        await mesh.dispatch(dispatcher_pb2.DispatchRequest(plan="p", input=struct))
        assert (len(counted.calls), counts(mesh)) == (1, {"miss": 1, "hit": 2})


async def test_an_input_that_is_none_goes_to_the_worker() -> None:
    """What cannot be read is the worker's to refuse, as it is without a cache."""
    counted = Counted()
    async with running({"a": counted.raw}, cached(TTL)) as mesh:
        malformed = payload_pb2.Payload()
        malformed.data.fields["x"].number_value = float("nan")
        for _ in range(2):
            heard = await mesh.dispatch(dispatcher_pb2.DispatchRequest(plan="p", input=malformed))
            assert decided(heard) == ["cache_bypassed"]
        assert (len(counted.calls), counts(mesh)) == (2, {"bypassed": 2})


async def test_the_caller_of_the_leader_goes_away() -> None:
    """The worker sees its call cancelled, and is called again for the one who has waited longest; all others are answered."""
    hanging, gated, calls = Hanging(), Gated(7), 0

    @worker("a")
    async def a(ctx: Context) -> Any:
        nonlocal calls
        calls += 1
        return await (hanging.worker.function(ctx) if calls == 1 else gated.worker.function())

    async with running({"a": a}, cached(JOIN)) as mesh:
        leader = asyncio.ensure_future(mesh.dispatch(ask()))
        await hanging.called.wait()
        rest = [asyncio.ensure_future(mesh.dispatch(ask())) for _ in range(4)]
        await waiting(mesh, 4)
        leader.cancel()
        await hanging.cancelled.wait()
        await gated.all_called(1)
        await waiting(mesh, 3)
        gated.open.set()
        heard = [await one for one in rest]
        assert [one.response.result.json for one in heard] == ['{"a":7}'] * 4
        assert sorted(map(tuple, map(decided, heard))) == [("cache_joined",)] * 3 + [("cache_joined", "cache_takes_over")]
        await mesh.idle()
        assert (calls, len(mesh.dispatcher.books.caches.branches["p", "a"].flights)) == (2, 0)


async def test_who_waits_has_its_own_deadline() -> None:
    """It is told DEADLINE_EXCEEDED at its own, and the call goes on for the other."""
    gated = Gated(7)
    async with running({"a": gated.worker}, cached(JOIN)) as mesh:
        leader = asyncio.ensure_future(mesh.dispatch(ask()))
        await gated.all_called(1)
        short = await mesh.dispatch(ask(), within=0.2)
        assert short.code is Code.DEADLINE_EXCEEDED
        gated.open.set()
        assert (await leader).response.result.json == '{"a":7}'


def failing_after(answers: int) -> Worker[Any]:
    """Answers so often, and is away from then on."""
    calls = 0

    @worker("a")
    async def a() -> Any:
        nonlocal calls
        calls += 1
        if calls > answers:
            raise Fault.unavailable("away")
        return calls

    return a


@pytest.mark.parametrize("remote", [False, True], ids=["merged here", "merged elsewhere"])
async def test_an_older_answer_stands_in(remote: bool) -> None:  # noqa: FBT001
    """FELL_BACK with its reason, wherever the merge runs; the caller is told that the result is not complete."""
    rule = {"ttl": "0s", "stale_on_error": "1h"}
    async with running({"a": failing_after(1)}, cached(rule), remote=remote, server={"metrics": "127.0.0.1:0"}) as mesh:
        await mesh.dispatch(ask())
        heard = await mesh.dispatch(ask())
        shown = await scrape(mesh.dispatcher.metrics_port)
    row = heard.row("a")
    assert (heard.code, heard.response.result.json, heard.trailer("fanmesh-complete")) == (Code.OK, '{"a":1}', "false")
    assert (row.state, row.reason, row.status.code, row.status.message) == (
        BranchState.FELL_BACK,
        BranchReason.WORKER_ERROR,
        Code.UNAVAILABLE,
        "away",
    )
    assert (heard.report.coverage.ratio, heard.report.coverage.fell_back, decided(heard)) == (1.0, 1, ["cache_stale"])
    assert shown.value("fanmesh_cache_lookups_total", plan="p", branch="a", result="miss") == 1
    assert shown.value("fanmesh_cache_lookups_total", plan="p", branch="a", result="stale") == 1
    assert shown.value("fanmesh_cache_entries", plan="p", branch="a") == 1
    assert shown.value("fanmesh_cache_bytes", plan="p", branch="a") == 1


async def test_a_nested_dispatchers_degraded_answer_is_not_kept() -> None:
    """The inner one gives what it has, and says that something is missing; the outer one asks again."""
    inner_plan = {"p": plan("a", "b", budget="5s", merge="first")}
    async with running({"a": failing_after(99), "b": failing_after(0)}, inner_plan, routes=[{"plan": "p"}]) as inner:
        nested = {"target": f"127.0.0.1:{inner.dispatcher.port}", "effect": "read"}
        async with running({"a": Told(Counted().raw, nested)}, cached(TTL)) as outer:
            for _ in range(2):
                assert (await outer.dispatch(ask())).code is Code.OK
            assert counts(outer) == {"miss": 2}


def changed(config: Config, **branch: Any) -> Config:
    """The same configuration with another branch, built as a reload builds it: nothing compiled is shared."""
    worker_ = config.catalogue.workers["a"]
    document = {
        "version": 1,
        "default_policy": "none",
        "workers": {"a": {"target": worker_.target, "effect": "read"}},
        "plans": cached(**branch),
        "server": {"metrics": None, "listen": "127.0.0.1:0"},
    }
    return load_mapping(document, MERGES)


async def test_a_reload_keeps_the_answers_of_what_it_does_not_change() -> None:
    """The same section, compiled anew, finds them; another `ttl` does not, nor does a branch without a cache."""
    counted = Counted()
    rule = {"ttl": "10m", "key": "${input.x}"}
    async with running({"a": counted.raw}, cached(rule)) as mesh:
        called = []
        for branch in ({"cache": rule}, {"cache": rule, "sla": "1s"}, {"cache": {**rule, "ttl": "9m"}}, {"cache": None}):
            await mesh.dispatcher.reload(changed(mesh.dispatcher.config, **branch))
            await mesh.dispatch(ask(json='{"x": 1}'))
            called.append(len(counted.calls))
        assert called == [1, 1, 2, 3]
        assert mesh.dispatcher.books.caches.branches == {}


async def test_a_reload_while_a_call_flies() -> None:
    """Who flies and who waits end as they would have. Their answer is not given to those of the new configuration."""
    gated, counted = Gated(7), Counted()
    async with running({"a": gated.worker, "b": counted.raw}, {**cached(TTL), "q": plan("b")}) as mesh:
        asked = [asyncio.ensure_future(mesh.dispatch(ask())) for _ in range(3)]
        await gated.all_called(1)
        await waiting(mesh, 2)
        config = mesh.dispatcher.config
        catalogue, other = config.catalogue, config.catalogue.workers["b"]
        node = replace(catalogue.plans["p"].nodes[0], worker=replace(other, name="a"))
        moved = replace(catalogue, plans={"p": replace(catalogue.plans["p"], nodes=(node,))}, workers={"a": node.worker})
        await mesh.dispatcher.reload(replace(config, catalogue=moved))
        assert (await mesh.dispatch(ask())).response.result.json == '{"a":1}'
        gated.open.set()
        assert [(await one).response.result.json for one in asked] == ['{"a":7}'] * 3
        assert (await mesh.dispatch(ask())).response.result.json == '{"a":1}'
        assert len(counted.calls) == 1


async def test_explain_says_what_the_cache_does() -> None:
    """At its place among the layers: below observe, above everything else."""
    rules = {
        "a": {"ttl": "30s", "stale_on_error": "5m", "key": "${input.id}"},
        "b": JOIN,
        "c": {"ttl": "0s", "stale_on_error": "1m", "coalesce": False},
    }
    branches = {name: {"worker": "a", "cache": rule} for name, rule in rules.items()}
    async with running({"a": Counted().raw}, {"p": plan("a", "b", "c", "d", **branches, d={"worker": "a"})}) as mesh:
        answer = await mesh.explain(ask(json='{"id": 1}'))
        assert isinstance(answer, dispatcher_pb2.ExplainResponse)
        layers = [list(node.layers) for node in answer.nodes]
    assert [one[0] for one in layers] == ["observe"] * 4
    assert [one[1] for one in layers] == [
        "cache (ttl 30s, stale_on_error 300s, at most 1000 answers, 8388608 bytes, a key of its own, joins equal calls)",
        "cache (keeps nothing, joins equal calls)",
        "cache (ttl 0, stale_on_error 60s, at most 1000 answers, 8388608 bytes, joins nothing)",
        "attempts (1)",
    ]

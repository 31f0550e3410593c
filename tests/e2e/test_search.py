"""The search scenario as processes: what is fused, what grows, what a dead shard costs, and what odd questions do."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import grpc
import pytest

from fanmesh.model.fault import Code
from fanmesh.model.states import BranchState, EmitMode
from fanmesh.result import BranchEvent, DispatchFailed, Final, Result, Snapshot
from sample_workers.demo.processes import Process
from sample_workers.search import corpus, evaluate, questions
from sample_workers.search.asking import Question
from sample_workers.search.running import ENGINES, SHARDS, document, running
from sample_workers.search.shard_1 import shard_1
from sample_workers.search.shard_3 import shard_3
from sample_workers.thesaurus import thesaurus_pb2, thesaurus_pb2_grpc
from tests.kit.programs import ROOT, python

pytestmark = pytest.mark.slow

PATIENT = "40s"
QUESTION = {"q": "Bowed legs", "k": 50}


def reciprocal_ranks(rankings: Mapping[str, Sequence[str]]) -> list[tuple[str, float]]:
    """The ten best by Σ weight / (k0 + rank), exactly, with the plan's own k0 and weights; equals by plan order, then key."""
    rrf = document()["plans"]["federated"]["merge"]["rrf"]
    scores: dict[str, Fraction] = {}
    first: dict[str, int] = {}
    for place, name in enumerate(ENGINES):
        for rank, key in enumerate(rankings.get(name, ()), 1):
            scores[key] = scores.get(key, Fraction(0)) + Fraction(rrf["weights"].get(name, 1)) / (rrf["k0"] + rank)
            first.setdefault(key, place)
    best = sorted(scores, key=lambda key: (-scores[key], first[key], key))[: rrf["k"]]
    return [(key, round(float(scores[key]), 12)) for key in best]


def pairs(value: Any) -> list[tuple[str, float]]:
    """A merged answer as keys and scores, to twelve places."""
    return [(item["key"], round(item["score"], 12)) for item in value]


@pytest.mark.asyncio
async def test_the_federated_answer_is_the_fusion_of_what_engines_say(tmp_path: Path) -> None:
    """Keys, order and scores, for questions of every kind; each item says where each engine had it."""
    async with running(tmp_path, ENGINES, PATIENT) as system:
        for q in ("Bowed legs", "hydrocehpalus", "骨 bone", "the", "NOT (title:bone OR nose)"):
            asked = {"q": q, "k": 50}
            fused = await system.client.dispatch("federated", asked)
            apart = await system.client.dispatch("compare", asked)
            rankings = {name: [hit["id"] for hit in apart.value[name]["hits"]] for name in ENGINES}
            assert fused.complete
            assert pairs(fused.value) == reciprocal_ranks(rankings)
            for item in fused.value:
                assert item["ranks"] == {
                    name: ranked.index(item["key"]) + 1 for name, ranked in rankings.items() if item["key"] in ranked
                }
                assert item["hit"]["title"]


@pytest.mark.asyncio
async def test_snapshots_grow_and_each_is_the_fusion_so_far(tmp_path: Path) -> None:
    """Coverage rises, no engine is lost again, each ranking is that of the engines in it, and the last is the result."""
    paces = {"fts5": "delay=1ms", "tantivy": "delay=150ms", "bm25s": "delay=300ms"}
    snapshots: list[Snapshot] = []
    done: Result[Any] | None = None
    async with running(tmp_path, ENGINES, PATIENT, paces) as system:
        apart = await system.client.dispatch("compare", QUESTION)
        async for update in system.client.stream("federated", QUESTION, emit=EmitMode.SNAPSHOT):
            match update:
                case Snapshot():
                    snapshots.append(update)
                case Final(result):
                    done = result
    rankings = {name: [hit["id"] for hit in apart.value[name]["hits"]] for name in ENGINES}
    ratios = [snapshot.coverage.ratio for snapshot in snapshots]
    assert ratios == sorted(ratios)
    assert len(set(ratios)) > 1
    before: set[str] = set()
    for snapshot in snapshots:
        seen = {name for item in snapshot.value or () for name in item["ranks"]}
        assert before <= seen
        assert pairs(snapshot.value or ()) == reciprocal_ranks({name: rankings[name] for name in seen})
        before = seen
    assert done is not None
    assert done.complete
    assert snapshots[-1].value == done.value


@pytest.mark.asyncio
async def test_a_killed_shard_costs_its_share_and_nothing_else(tmp_path: Path) -> None:
    """SIGKILL while its call is in flight: the two others' answer, coverage 2/3 by weight, and the shard is named."""
    done: Result[Any] | None = None
    async with running(tmp_path, SHARDS, PATIENT, {"shard_2": "hang"}) as system:
        async for update in system.client.stream("sharded", QUESTION, emit=EmitMode.BRANCH_EVENTS):
            match update:
                case BranchEvent(branch) if branch.branch == "shard_2" and branch.state is BranchState.PENDING:
                    await system.processes["shard_2"].kill()
                case Final(result):
                    done = result
    assert done is not None
    report = done.report
    assert report.coverage.ratio == pytest.approx(2 / 3)
    assert (report.missing, report.complete) == (("shard_2",), False)
    assert report["shard_2"].code == int(Code.UNAVAILABLE)
    hits = [hit for worker in (shard_1, shard_3) for hit in worker(Question(**QUESTION))["hits"]]
    expected = sorted(hits, key=lambda hit: -hit["score"])[:10]
    assert sorted(pairs(done.value)) == sorted((hit["id"], round(hit["score"], 12)) for hit in expected)


@pytest.mark.asyncio
async def test_less_than_half_of_the_corpus_is_no_answer(tmp_path: Path) -> None:
    """Two of three shards gone: the call fails, and says so, instead of showing a third as if it were all."""
    async with running(tmp_path, SHARDS, PATIENT) as system:
        for name in SHARDS[:2]:
            await system.processes[name].kill()
        with pytest.raises(DispatchFailed) as failed:
            await system.client.dispatch("sharded", QUESTION)
    assert failed.value.report is not None
    assert failed.value.report.missing == SHARDS[:2]


@pytest.mark.asyncio
async def test_odd_questions_have_clear_answers(tmp_path: Path) -> None:
    """What is no question is refused by all engines alike, by field; whatever else is typed is answered; no process is lost."""
    async with running(tmp_path, ENGINES, PATIENT) as system:
        for asked, told in (({"q": ""}, "q: missing"), ({"q": "x" * 1001}, "q: 1001 characters; at most 1000")):
            with pytest.raises(DispatchFailed) as refused:
                await system.client.dispatch("federated", asked)
            assert refused.value.report is not None
            rows = refused.value.report.branches
            assert {(row.code, row.detail) for row in rows} == {(int(Code.INVALID_ARGUMENT), told)}
        for q in (
            '"',
            "AND OR NOT NEAR(",
            "a* ^b {c}:d -e",
            "\x00 bone",
            "🦴 骨折",
            "'; DROP TABLE documents; --",
            "?!",
            "x" * 1000,
        ):
            r = await system.client.dispatch("federated", {"q": q})
            assert r.complete, q
        assert (await system.client.dispatch("federated", {"q": "?!"})).value == []


@pytest.mark.asyncio
async def test_the_fusion_is_at_least_as_good_as_the_best_engine(tmp_path: Path) -> None:
    """Over every eighth question of the half that nothing was chosen on: the same every time, as all that is in it is fixed."""
    judged = questions.halves(corpus.read()).judged_on[::8]
    async with running(tmp_path, ENGINES, PATIENT) as system:
        found = await evaluate.ask_all(system.client, judged)
    figures = evaluate.judge(found, judged)
    assert len(judged) == 200
    assert figures["mrr@10"]["fused"] >= max(figures["mrr@10"][name] for name in ENGINES)


def test_the_foreign_service_knows_nothing_of_fanmesh() -> None:
    """Neither its process nor its proto: nothing of Fanmesh is imported, and no message of it is named."""
    said = "import sys, sample_workers.thesaurus.service; print(*sorted({m.partition('.')[0] for m in sys.modules}))"
    run = subprocess.run(python("-c", said), cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert not {"fanmesh", "dispatcher", "aggregator"} & set(run.stdout.split())
    assert "fanmesh" not in thesaurus_pb2.DESCRIPTOR.serialized_pb.decode("latin-1").lower()


@pytest.mark.asyncio
async def test_the_foreign_service_answers_anybody(tmp_path: Path) -> None:
    """By its own stubs: a synonym word for word comes first, the limit is kept, and no word is its own INVALID_ARGUMENT."""
    service = Process("thesaurus", ["127.0.0.1:0"], tmp_path, {}, "sample_workers.thesaurus.service")
    try:
        await service.start()
        async with grpc.aio.insecure_channel(service.address) as channel:
            stub = thesaurus_pb2_grpc.ThesaurusStub(channel)
            reply = await stub.Lookup(thesaurus_pb2.LookupRequest(phrase="photodysphoria", limit=5), timeout=20)
            best = reply.concepts[0]
            assert (best.code, best.preferred_name, best.matched_name) == ("HP:0000613", "Photophobia", "Photodysphoria")
            assert best.similarity == 1.0
            many = await stub.Lookup(thesaurus_pb2.LookupRequest(phrase="abnormal eye movement", limit=5), timeout=20)
            closeness = [concept.similarity for concept in many.concepts]
            assert len(closeness) == 5
            assert closeness == sorted(closeness, reverse=True)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stub.Lookup(thesaurus_pb2.LookupRequest(phrase="?!"), timeout=20)
            assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    finally:
        await service.stop()

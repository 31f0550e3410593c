"""The search scenario's configurations: that they load, name what exists, and serve what is there."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from dispatcher.assembly import MERGES
from dispatcher.config import load_text
from fanmesh.workers import Worker
from sample_workers.demo import cast, plans
from sample_workers.search.running import ENGINES, SHARDS, configuration, document, line

HERE = Path(__file__).resolve().parents[3] / "sample_workers"
FILES = [HERE / "search" / "fanmesh.yaml", HERE / "thesaurus" / "fanmesh.yaml"]
FOREIGN = "thesaurus"


@pytest.mark.parametrize("file", FILES, ids=["search", "thesaurus"])
def test_a_configuration_loads_and_its_workers_exist(file: Path) -> None:
    """Each worker but the foreign one is a function that `dev` can serve under that name."""
    text = file.read_text("utf-8")
    assert load_text(text, filename=file.name, merges=MERGES).catalogue.plans
    told = YAML().load(text)
    assert set(told["workers"]) - {FOREIGN} == set(told["dev"])
    for name, reference in told["dev"].items():
        module, _, function = reference.partition(":")
        found = getattr(import_module(module), function)
        assert isinstance(found, Worker)
        assert found.name == name
        assert callable(import_module(module).warm)


def test_the_workers_are_the_engines_and_the_shards() -> None:
    """No more, and none twice on one port; the demo and the runner name the same."""
    workers = document()["workers"]
    assert tuple(workers) == (*ENGINES, *SHARDS)
    assert len({worker["target"] for worker in workers.values()}) == len(workers)
    assert set(cast.SEARCHING) == set(workers)


@pytest.mark.parametrize(
    ("workers", "served"),
    [(ENGINES, {"federated", "quick", "compare"}), (SHARDS, {"sharded"}), ((*ENGINES, *SHARDS), set(document()["plans"]))],
    ids=["engines", "shards", "all"],
)
def test_only_plans_whose_workers_run_are_served(workers: tuple[str, ...], served: set[str]) -> None:
    """What is left still loads; `latency` stands in for every limit."""
    addresses = {name: f"127.0.0.1:{port}" for port, name in enumerate(workers, 50_000)}
    assert set(load_text(configuration(addresses), filename="some.yaml", merges=MERGES).catalogue.plans) == served
    patient = YAML().load(configuration(addresses, "30s"))
    assert {plan["budget"]["latency"] for plan in patient["plans"].values()} == {"30s"}
    assert not any("soft_timeout" in branch for plan in patient["plans"].values() for branch in plan["branches"].values())


def test_the_demo_serves_both_scenarios() -> None:
    """One configuration for all claims, with the foreign worker's method, and no breaker where shards are killed."""
    names = [*cast.BRANCHES, *cast.SLOW.values(), cast.HANGING, cast.LYING, cast.DOOMED, *cast.REPLICATED]
    addresses = {name: ["127.0.0.1:1"] for name in (*names, *cast.SEARCHING, cast.STRANGER)}
    told = plans.configuration(addresses)
    loaded = load_text(told, filename="demo.yaml", merges=MERGES).catalogue
    assert {plans.BASE, plans.FEDERATED, plans.COMPARED, plans.SHARDED, plans.WIDENED} <= set(loaded.plans)
    workers = YAML().load(told)["workers"]
    assert (workers[cast.STRANGER]["method"], workers[cast.STRANGER]["reflection"]) == ("terminology.v1.Thesaurus/Lookup", True)
    assert {workers[name]["policy"] for name in SHARDS} == {"stubborn"}


def test_a_worker_is_served_as_it_is_unless_it_is_to_misbehave() -> None:
    """The command line, with and without a behaviour."""
    plain = line("fts5")
    assert plain == ["worker", "sample_workers.search.fts5:fts5", "--listen", "127.0.0.1:0"]
    assert line("fts5", "hang", 3) == [*plain, "--behaviour", "fts5:hang", "--seed", "3"]

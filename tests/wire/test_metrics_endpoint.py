"""/metrics of a dispatcher process after requests of every kind: exact counts, known labels, traces to look at."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from fanmesh.model.fault import Code
from tests.kit.calls import Heard, ask
from tests.kit.mesh import plan
from tests.kit.otlp import Receiver
from tests.kit.scraping import Scraped, scrape
from tests.kit.system import Serving, System, all_of

SAMPLED: Final = tuple(f"{0xFA0000 + number:032x}" for number in range(8))
"""Trace ids of the sampled requests."""
SECRETS: Final = ("acme", "ada@example.org")
"""A tenant and a user, which no label may show."""
IN_FLIGHT, ATTEMPTS = "fanmesh_dispatch_in_flight", "fanmesh_attempts_total"

PLANS: Final = {
    "whole": plan("one", "two", budget="10s", one={"sla": "10s"}),
    "partial": plan("one", "fails", "hangs", budget="10s", hangs={"soft_timeout": "20ms", "sla": "10ms"}),
    "needs": plan("one", "fails", budget="10s", fails={"required": True}, one={"if": "has(input.one)"}),
    "wrong": plan("one", "two", budget="10s", two={"if": "input.absent > 1"}),
    "waits": plan("hangs", budget="60s"),
}


@dataclass(frozen=True, slots=True)
class Seen:
    """What was heard, and what /metrics said: in the middle of a request, and in the end in both formats."""

    heard: list[Heard]
    during: Scraped
    text: Scraped
    openmetrics: Scraped


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """All requests: eight whole ones that are sampled, three partial, two failed, a bad `if`, and two unknown plans."""
    directory = tmp_path_factory.mktemp("metrics")
    with Receiver(directory) as receiver:
        yield asyncio.run(everything(directory, receiver.endpoint))


async def everything(directory: Path, endpoint: str) -> Seen:
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_TRACES_SAMPLER": "parentbased_always_off"}
    async with System(directory, environment) as system:
        roles = "tests.kit.roles:echo"
        address = await system.workers(
            f"one={roles}",
            f"two={roles}",
            f"fails={roles}",
            "tests.kit.traced_workers:hangs",
            behaviour=["fails:fail=DATA_LOSS"],
        )
        workers = {name: {"target": address, "effect": "read"} for name in ("one", "two", "fails", "hangs")}
        document = {"attributes": ["tenant", "user"], "workers": workers, "plans": PLANS}
        serving = await system.dispatcher({**document, "server": {"metrics": "127.0.0.1:0"}})
        heard = await requests(serving)
        waiting = asyncio.ensure_future(serving.caller.dispatch(ask("waits")))
        during = await scraped(serving, lambda at: at.value(IN_FLIGHT) == 1)
        waiting.cancel()
        await asyncio.wait((waiting,))
        text = await scraped(serving, lambda at: at.value(IN_FLIGHT) == 0 and sum(at.series(ATTEMPTS).values()) == 29)
        openmetrics = await scrape(serving.metrics_port, openmetrics=True)
        await system.stop()
        return Seen(heard, during, text, openmetrics)


async def requests(serving: Serving) -> list[Heard]:
    """All but the one that waits."""
    attributes = {"tenant": SECRETS[0], "user": SECRETS[1]}

    async def one(name: str, **metadata: str) -> Heard:
        return await serving.caller.dispatch(ask(name, attributes=attributes), metadata=tuple(metadata.items()))

    sampled = [one("whole", traceparent=f"00-{trace_id}-{1:016x}-01") for trace_id in SAMPLED]
    others = [one(name) for name in ("partial", "partial", "partial", "needs", "needs", "wrong", "nowhere", "acme")]
    return await all_of([*sampled, *others], 8)


async def scraped(serving: Serving, ready: Callable[[Scraped], bool]) -> Scraped:
    """The first scrape that shows what is waited for; a cancelled call is counted when it has ended, just after its request."""
    async with asyncio.timeout(10):
        while not ready(got := await scrape(serving.metrics_port)):
            pass
    return got


def counted(of: Scraped, sample: str, *labels: str) -> dict[tuple[str, ...], float]:
    """The values of a sample by the values of its labels, which are exactly these."""
    series = {}
    for key, value in of.series(sample).items():
        named = dict(key)
        assert named.keys() == set(labels), sample
        series[tuple(named[label] for label in labels)] = value
    return series


def test_requests_are_counted_by_plan_code_and_rule(seen: Seen) -> None:
    """Each request once, refused and cancelled ones among them; a plan that does not exist is no label."""
    assert Counter(heard.code for heard in seen.heard) == {
        Code.OK: 12,
        Code.UNAVAILABLE: 2,
        Code.NOT_FOUND: 2,
    }
    assert counted(seen.text, "fanmesh_dispatch_duration_seconds_count", "plan", "code", "completed_by") == {
        ("whole", "OK", "ALL"): 8,
        ("partial", "OK", "SOFT_TIMEOUT"): 3,
        ("needs", "UNAVAILABLE", "UNREACHABLE"): 2,
        ("wrong", "OK", "ALL"): 1,
        ("", "NOT_FOUND", ""): 2,
        ("waits", "CANCELLED", "CALLER_GONE"): 1,
    }
    assert seen.during.value(IN_FLIGHT) == 1
    assert seen.text.value(IN_FLIGHT) == 0


def test_coverage_and_what_is_missing(seen: Seen) -> None:
    """The share that answered, and the bits of `degraded`, by plan."""
    ratios = counted(seen.text, "fanmesh_dispatch_coverage_ratio_sum", "plan")
    assert ratios == pytest.approx({("whole",): 8, ("partial",): 1, ("needs",): 0, ("wrong",): 0.5, ("waits",): 0}, abs=1e-5)
    degraded = counted(seen.text, "fanmesh_dispatch_degraded_total", "plan", "cause")
    assert {key: value for key, value in degraded.items() if key[0] != "needs"} == {
        ("partial", "error"): 3,
        ("partial", "soft_timeout"): 3,
        ("wrong", "error"): 1,
    }


def test_branches_are_counted_as_reports_show_them(seen: Seen) -> None:
    """Each branch of each request once, by its ending; attainment only where there is an SLA."""
    labels = ("plan", "branch", "state", "reason")
    assert counted(seen.text, "fanmesh_branch_duration_seconds_count", *labels) == {
        ("whole", "one", "SUCCEEDED", "NONE"): 8,
        ("whole", "two", "SUCCEEDED", "NONE"): 8,
        ("partial", "one", "SUCCEEDED", "NONE"): 3,
        ("partial", "fails", "FAILED", "WORKER_ERROR"): 3,
        ("partial", "hangs", "CANCELLED", "SOFT_TIMEOUT"): 3,
        ("needs", "one", "SKIPPED", "CONDITION"): 2,
        ("needs", "fails", "FAILED", "WORKER_ERROR"): 2,
        ("wrong", "one", "SUCCEEDED", "NONE"): 1,
        ("wrong", "two", "SKIPPED", "CONDITION_ERROR"): 1,
        ("waits", "hangs", "CANCELLED", "CALLER_GONE"): 1,
    }
    durations = counted(seen.text, "fanmesh_branch_duration_seconds_sum", *labels)
    assert durations["partial", "hangs", "CANCELLED", "SOFT_TIMEOUT"] >= 3 * 0.02
    assert durations["needs", "one", "SKIPPED", "CONDITION"] == 0
    met = counted(seen.text, "fanmesh_branch_sla_total", "plan", "branch", "met")
    assert met == {("whole", "one", "true"): 8, ("partial", "hangs", "false"): 3}


def test_attempts_are_counted_by_worker(seen: Seen) -> None:
    """What was sent, and how it ended; a branch that was skipped sent nothing."""
    assert counted(seen.text, ATTEMPTS, "worker", "kind", "code") == {
        ("one", "first", "OK"): 12,
        ("two", "first", "OK"): 8,
        ("fails", "first", "DATA_LOSS"): 5,
        ("hangs", "first", "CANCELLED"): 4,
    }


def test_the_rest(seen: Seen) -> None:
    """Counters that were not touched are there with 0, so that a rate over them exists; gauges say what is now."""
    assert counted(seen.text, "fanmesh_late_results_total") == {(): 0}
    assert counted(seen.text, "fanmesh_aggregator_fallback_total") == {(): 0}
    assert counted(seen.text, "fanmesh_expression_errors_total", "where") == {("if",): 1}
    version = next(heard.report.config_version for heard in seen.heard if heard.code is Code.OK)
    assert counted(seen.text, "fanmesh_config_info", "version") == {(version,): 1}
    (lag,) = counted(seen.text, "fanmesh_loop_lag_seconds").values()
    assert 0 <= lag < 60


def test_no_label_tells_who_asked(seen: Seen) -> None:
    """Label names are a closed set, and no value is a tenant, a user, a request or a trace."""
    ids = {heard.report.request_id for heard in seen.heard if heard.code is Code.OK}
    for scrape_of in (seen.during, seen.text, seen.openmetrics):
        samples = [sample for family in scrape_of.families.values() for sample in family.samples]
        assert len(samples) > 100
        for sample in samples:
            allowed = {"plan", "code", "completed_by", "cause", "branch", "state", "reason", "met", "worker", "kind", "where"}
            allowed |= {"endpoint", "to", "what", "why", "criticality"}
            assert sample.labels.keys() <= allowed | {"version", "le"}
            for value in sample.labels.values():
                assert value not in ids
                assert value not in SAMPLED
                assert not any(secret in value for secret in SECRETS)


def test_histograms_add_up(seen: Seen) -> None:
    """Buckets are cumulative, and the last of them is the count."""
    for family in seen.text.families.values():
        if family.type == "histogram":
            rows: dict[tuple[Any, ...], list[tuple[float, float]]] = {}
            for sample in family.samples:
                key = tuple(sorted((name, value) for name, value in sample.labels.items() if name != "le"))
                if sample.name.endswith("_bucket"):
                    rows.setdefault(key, []).append((float(sample.labels["le"]), sample.value))
            assert rows
            for key, buckets in rows.items():
                counts = [count for _, count in sorted(buckets)]
                assert counts == sorted(counts)
                assert counts[-1] == seen.text.value(f"{family.name}_count", **dict(key))


def test_exemplars_lead_to_traces(seen: Seen) -> None:
    """In OpenMetrics a bucket names a trace that was sampled, and one of its own observations; plain text has none."""
    for name in ("fanmesh_dispatch_duration_seconds", "fanmesh_dispatch_coverage_ratio", "fanmesh_branch_duration_seconds"):
        shown = [sample for sample in seen.openmetrics.families[name].samples if sample.exemplar is not None]
        assert shown, name
        for sample in shown:
            example = sample.exemplar
            assert example is not None
            assert example.labels.keys() == {"trace_id"}
            assert example.labels["trace_id"] in SAMPLED
            assert example.value <= float(sample.labels["le"])
            assert sample.labels["plan"] == "whole"
    assert not any(sample.exemplar for family in seen.text.families.values() for sample in family.samples)

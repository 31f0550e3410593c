"""Metrics of a dispatcher process as a real OTLP receiver sees them: the numbers of /metrics, while it runs and at its end."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from fanmesh.model.fault import Code
from tests.kit.calls import ask
from tests.kit.deployed import families
from tests.kit.mesh import plan
from tests.kit.otlp import Pushed, Receiver, attributes_of
from tests.kit.scraping import scrape
from tests.kit.system import System

pytestmark = pytest.mark.asyncio

REQUESTS = "fanmesh_dispatch_duration_seconds"
LABELS = {"plan": "p", "code": "OK", "completed_by": "ALL"}


def answered(push: Pushed) -> int:
    """How many requests for the plan it tells of."""
    if REQUESTS not in push.metrics:
        return 0
    points = push.metrics[REQUESTS].histogram.data_points
    return sum(point.count for point in points if attributes_of(point.attributes) == LABELS)


@pytest.mark.parametrize("interval", ["100", "3600000"], ids=["while it runs", "at its end"])
async def test_a_receiver_hears_what_was_counted(tmp_path: Path, interval: str) -> None:
    """The series of /metrics with the same values, under the service's name; what the interval left is pushed at the end."""
    environment = {"OTEL_METRIC_EXPORT_INTERVAL": interval, "OTEL_TRACES_EXPORTER": "none"}
    with Receiver(tmp_path) as receiver:
        async with System(tmp_path, environment) as system:
            address = await system.workers("one=tests.kit.roles:echo")
            document = {"workers": {"one": {"target": address, "effect": "read"}}, "plans": {"p": plan("one", budget="20s")}}
            serving = await system.dispatcher(
                {**document, "server": {"metrics": "127.0.0.1:0"}}, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint
            )
            for _ in range(3):
                assert (await serving.caller.dispatch(ask())).code is Code.OK
            scraped = await scrape(serving.metrics_port)
            if interval == "100":
                await asyncio.to_thread(receiver.pushes, lambda came: any(answered(push) == 3 for push in came))
            await system.stop()
        last = receiver.pushes(lambda came: any(answered(push) == 3 for push in came))[-1]
    assert last.resource["service.name"] == "fanmesh-dispatcher"
    assert last.resource["service.instance.id"]
    assert answered(last) == scraped.value(f"{REQUESTS}_count", **LABELS) == 3
    attempts = last.metrics["fanmesh_attempts_total"].sum.data_points
    assert [(attributes_of(point.attributes)["code"], point.as_int) for point in attempts] == [("OK", 3)]
    assert last.metrics.keys() <= {family.about.name for family in families()}
    assert {"fanmesh_loop_lag_seconds", "fanmesh_config_info", "fanmesh_dispatch_in_flight"} <= last.metrics.keys()

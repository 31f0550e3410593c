"""The deployment itself, as far as it goes without a cluster: every process as its manifest starts it, on this machine.

What a cluster would do is done by hand: names become addresses, ports become free ones, and a probe is a call of gRPC health.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from grpc_health.v1 import health_pb2

from fanmesh.model.fault import Code
from fanmesh.model.states import AggregatorMode, BranchState
from fanmesh.transport.grpc_aio import GrpcTransport
from tests.kit.calls import Caller, ask
from tests.kit.deployed import command, families
from tests.kit.manifests import Object, arguments, container, environment, missing, of_kind, rendered
from tests.kit.scraping import scrape
from tests.kit.system import System

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.slow,
    pytest.mark.skipif(bool(missing("kustomize")), reason=missing("kustomize")),
]

ANY = "127.0.0.1:0"
INPUT = '{"phone": "+49 30 23125000", "email": "ada@example.org", "ip": "8.8.8.8", "lat": 52.5, "lon": 13.4, "country": "DE"}'


class Cluster:
    """Starts what the base describes."""

    def __init__(self, system: System, directory: Path) -> None:
        self.objects = rendered("base")
        self.deployments = of_kind(self.objects, "Deployment")
        self._system = system
        self._directory = directory
        self.addresses: dict[str, str] = {}

    async def start(self, name: str) -> None:
        """The process of a Deployment, with its own arguments and variables; its port is a free one."""
        one = self.deployments[name]
        words = [ANY if re.fullmatch(r"0\.0\.0\.0:\d+", word) else word for word in arguments(self.objects, one)]
        variables = {key: value for key, value in environment(self.objects, one).items() if "<" not in value}
        process = await self._system.start("fanmesh.cli", *words, **variables)
        self.addresses[name] = (await process.says(r" on (127\.0\.0\.1:\d+)"))[1]

    async def start_dispatcher(self) -> int:
        """Likewise, with its ConfigMap as a file, in which services have become addresses; the port of /metrics."""
        one = self.deployments["dispatcher"]
        path = command(arguments(self.objects, one))["config"]
        (config,) = (each for each in of_kind(self.objects, "ConfigMap").values() if path.name in each["data"])
        text = re.sub(r"announce: \d+s", "announce: 0s", str(config["data"][path.name]))  # nobody has to hear of its end
        text = re.sub(r"(latency|timeout): (\d+)ms", r"\1: \g<2>0ms", text)  # a busy machine is not what is tested
        for name, address in self.addresses.items():
            text, count = re.subn(rf'"{name}:\d+"', f'"{address}"', text)
            assert count == 1, name
        file = self._directory / path.name
        file.write_text(text)
        words = [str(file) if word == str(path) else word for word in arguments(self.objects, one)]
        variables = {key: value for key, value in environment(self.objects, one).items() if "<" not in value}
        process = await self._system.start("fanmesh.cli", *words, "--listen", ANY, "--metrics", ANY, "-o", "json", **variables)
        self.addresses["dispatcher"] = (await process.says(r'"listen": ?"(127\.0\.0\.1:\d+)"'))[1]
        return int(re.search(r'"metrics_port": ?(\d+)', process.heard[-1])[1])  # type: ignore[index]  # the line was found

    def channel(self, name: str) -> Any:
        """A connection to a process."""
        return GrpcTransport().connect(self.addresses[name])


async def probe(channel: Any, service: str) -> int:
    """What the kubelet asks."""
    request = health_pb2.HealthCheckRequest(service=service).SerializeToString()
    reply = await channel.unary("/grpc.health.v1.Health/Check", request, timeout=10)
    return int(health_pb2.HealthCheckResponse.FromString(reply.payload).status)


async def check_probes(cluster: Cluster, name: str, one: Object) -> None:
    """Every probe of a Deployment is answered SERVING under the name that it asks for."""
    channel = cluster.channel(name)
    try:
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            service = container(one)[kind]["grpc"].get("service", "")
            assert await probe(channel, service) == health_pb2.HealthCheckResponse.SERVING, f"{name}: {kind}"
    finally:
        await channel.close()


async def test_the_deployment_answers(tmp_path: Path) -> None:
    """Started as described: probes are answered, a request is enriched by its workers and merged by the aggregator, counted."""
    async with System(tmp_path) as system:
        cluster = Cluster(system, tmp_path)
        await asyncio.gather(*(cluster.start(name) for name in cluster.deployments if name != "dispatcher"))
        metrics = await cluster.start_dispatcher()
        await asyncio.gather(*(check_probes(cluster, name, one) for name, one in cluster.deployments.items()))

        channel = cluster.channel("dispatcher")
        for _ in range(10):  # an aggregator that is late is done without, as it should be
            heard = await Caller(channel).dispatch(ask("enrich_contact", json=INPUT))
            if heard.code is not Code.OK or heard.report.aggregator_mode == AggregatorMode.REMOTE:
                break
        await channel.close()
        assert heard.code is Code.OK, heard.message
        states = {row.branch: row.state for row in heard.report.branches}
        assert states["phone"] == BranchState.SUCCEEDED
        assert set(states) == {"phone", "tax_id", "place", "ip", "email", "holiday", "rates"}
        assert heard.report.aggregator_mode == AggregatorMode.REMOTE
        scraped = await scrape(metrics)
        shown = {name for name in scraped.families if name.startswith("fanmesh_")}
        assert shown == {family.about.name.removesuffix("_total") for family in families()}
        await system.stop()

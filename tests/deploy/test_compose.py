"""What stands in compose.yaml exists: the images' targets, command lines, addresses, files, variables."""

from __future__ import annotations

from typing import Any

import pytest

from dispatcher.wire.resolving import host_port
from fanmesh.cli.importing import workers as imported
from fanmesh.model.times import SECOND
from tests.deploy.test_images import stages
from tests.kit.deployed import command, configuration, variables
from tests.kit.manifests import DEPLOY, document

FILE = DEPLOY / "compose" / "compose.yaml"
COMPOSE: dict[str, Any] = document(FILE)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
FOREIGN = {"jaeger", "prometheus"}
OURS = {name: service for name, service in SERVICES.items() if name not in FOREIGN}
CONFIG = configuration((DEPLOY / "k8s" / "base" / "fanmesh.yaml").read_text())


def test_everything_is_there() -> None:
    """Dispatcher, aggregator, a worker for each of the configuration, and the two that show what happened."""
    others = OURS.keys() - {"dispatcher", "aggregator"}
    served = {each.name for name in others for each in imported(command(SERVICES[name]["command"])["functions"])}
    assert served == set(CONFIG.catalogue.workers)
    assert len(others) == len(served)
    assert SERVICES.keys() > FOREIGN


def test_the_configuration_names_services_that_are_there() -> None:
    """A target is a service that serves that worker, at the port where it listens on all addresses."""
    targets = {name: host_port(worker.target) for name, worker in CONFIG.catalogue.workers.items()}
    targets["aggregator"] = host_port(CONFIG.server.aggregator)
    for name, (host, port) in targets.items():
        called = command(SERVICES[host]["command"])
        assert called["listen"] == f"0.0.0.0:{port}"
        if name != "aggregator":
            assert [each.name for each in imported(called["functions"])] == [name]


def test_the_dispatcher_reads_the_file_that_is_mounted() -> None:
    """The one of the manifests, read-only, where its command line looks for it; its port is published on this machine only."""
    service = SERVICES["dispatcher"]
    called = command(service["command"])
    (mount,) = service["volumes"]
    source, target, mode = mount.split(":")
    assert (called["verb"], str(called["config"]), mode) == ("serve", target, "ro")
    assert (FILE.parent / source).resolve() == DEPLOY / "k8s" / "base" / "fanmesh.yaml"
    port = CONFIG.server.listen.rpartition(":")[2]
    assert service["ports"] == [f"127.0.0.1:{port}:{port}"]


def test_nothing_is_published_to_the_network() -> None:
    """Every published port is one of this machine alone: nothing here asks who is there."""
    assert all(port.startswith("127.0.0.1:") for service in SERVICES.values() for port in service.get("ports", ()))


@pytest.mark.parametrize("name", OURS)
def test_an_image_is_built_from_a_target(name: str) -> None:
    """Of the Dockerfile, which is found from the context, as the image that the manifests run."""
    build = OURS[name]["build"]
    context = (FILE.parent / build["context"]).resolve()
    assert (context / build["dockerfile"]).resolve() == DEPLOY / "images" / "Dockerfile"
    assert context == DEPLOY.parent
    assert build["target"] in stages()
    assert OURS[name]["image"] == f"fanmesh/{build['target']}:0.1.0"


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_hardened(name: str) -> None:
    """Nothing writable but what is mounted, no capability, no way to gain one."""
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", OURS)
def test_every_variable_is_read_by_somebody(name: str) -> None:
    """By our code or OpenTelemetry's; spans go to the Jaeger that is there."""
    environment = OURS[name]["environment"]
    assert environment.keys() <= variables()
    assert environment["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] == "http://jaeger:4317"


@pytest.mark.parametrize("name", OURS)
def test_a_service_is_given_the_time_to_leave(name: str) -> None:
    """stop_grace_period is longer than announce and drain together."""
    grace = OURS[name]["stop_grace_period"]
    assert grace.endswith("s")
    assert int(grace[:-1]) * SECOND > CONFIG.server.announce + CONFIG.server.drain


def test_prometheus_finds_the_dispatcher() -> None:
    """By the alias that the scrape configuration looks up; it reads the folder that holds configuration and rules."""
    (scrape,) = document(DEPLOY / "prometheus" / "prometheus.yaml")["scrape_configs"]
    (lookup,) = scrape["dns_sd_configs"]
    assert SERVICES["dispatcher"]["networks"]["default"]["aliases"] == lookup["names"]
    folder, target, mode = SERVICES["prometheus"]["volumes"][0].split(":")
    assert (FILE.parent / folder).resolve() == DEPLOY / "prometheus"
    assert f"--config.file={target}/prometheus.yaml" in SERVICES["prometheus"]["command"]
    assert mode == "ro"

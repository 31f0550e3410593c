"""What stands in the manifests exists in the code: commands, ports, names, variables, times.

A schema knows the form of a manifest; that `50051` is where a worker listens, only we know. That it all works together is for
test_deployment_runs.py.
"""

from __future__ import annotations

from typing import Any

import pytest

from dispatcher.config import Config
from dispatcher.wire.resolving import host_port
from fanmesh.cli.importing import workers as imported
from fanmesh.model.times import SECOND
from tests.kit.deployed import command, configuration, variables
from tests.kit.manifests import (
    RENDERED,
    Object,
    arguments,
    container,
    environment,
    labels,
    missing,
    of_kind,
    rendered,
    selects,
)

pytestmark = [
    pytest.mark.skipif(bool(missing("kustomize")), reason=missing("kustomize")),
    pytest.mark.parametrize("what", RENDERED),
]

FLUSHES = 12
"""Seconds that a dispatcher may need at its end for its last metrics and spans: 5 + 1 each (telemetry, otlp_metrics)."""

NOT_OURS = {"jaeger", "prometheus"}


def ours(what: str) -> dict[str, Object]:
    """The Deployments of Fanmesh's own processes, by name."""
    return {name: one for name, one in of_kind(rendered(what), "Deployment").items() if name not in NOT_OURS}


def workers(what: str) -> dict[str, Object]:
    """Those that are workers."""
    return {name: one for name, one in ours(what).items() if name not in {"dispatcher", "aggregator"}}


def config_text(what: str) -> str:
    """The configuration that the dispatcher is given, at the path it is told."""
    dispatcher = ours(what)["dispatcher"]
    path = command(arguments(rendered(what), dispatcher))["config"]
    (mount,) = container(dispatcher)["volumeMounts"]
    (volume,) = dispatcher["spec"]["template"]["spec"]["volumes"]
    assert mount["name"] == volume["name"]
    assert str(path.parent) == mount["mountPath"]
    return str(of_kind(rendered(what), "ConfigMap")[volume["configMap"]["name"]]["data"][path.name])


def config(what: str) -> Config:
    """The same, loaded."""
    return configuration(config_text(what))


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


def listens(what: str, name: str) -> int:
    """The port on which the process of a Deployment answers gRPC, from its command line or its configuration."""
    called = command(arguments(rendered(what), ours(what)[name]))
    return port_of(called.get("listen") or config(what).server.listen)


def test_the_configuration_is_valid(what: str) -> None:
    """What the ConfigMap holds loads without an error or a warning."""
    assert config(what).catalogue.plans


def test_every_command_line_is_one(what: str) -> None:
    """Verb, options and values are the CLI's; the functions that workers name can be imported and go by the workers' names."""
    verbs = {name: command(arguments(rendered(what), one)) for name, one in ours(what).items()}
    assert verbs.pop("dispatcher")["verb"] == "serve"
    assert verbs.pop("aggregator")["verb"] == "aggregate"
    served = {each.name for called in verbs.values() for each in imported(called["functions"])}
    assert {called["verb"] for called in verbs.values()} == {"worker"}
    assert served == set(config(what).catalogue.workers)


def test_every_process_listens_where_its_ports_say(what: str) -> None:
    """Ports of the containers are those of command lines and of `server:`, on all addresses of the pod."""
    server = config(what).server
    for name, one in ours(what).items():
        ports = {port["name"]: port["containerPort"] for port in container(one)["ports"]}
        expected = {"grpc": listens(what, name)}
        if name == "dispatcher":
            assert server.metrics is not None
            expected["metrics"] = port_of(server.metrics)
            assert {server.listen.rpartition(":")[0], server.metrics.rpartition(":")[0]} == {"0.0.0.0"}  # noqa: S104
        else:
            assert command(arguments(rendered(what), one))["listen"].startswith("0.0.0.0:")
        assert ports == expected


def test_probes_ask_the_port_that_answers(what: str) -> None:
    """All three, by gRPC, which takes no names of ports; the services' names are asked of real processes elsewhere."""
    for name, one in ours(what).items():
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert container(one)[probe]["grpc"]["port"] == listens(what, name)


def test_services_lead_to_pods(what: str) -> None:
    """Every Service and PodDisruptionBudget selects the pods of exactly one Deployment, at a port that it has."""
    objects = rendered(what)
    deployments = of_kind(objects, "Deployment")
    for service in of_kind(objects, "Service").values():
        (one,) = [each for each in deployments.values() if selects(service["spec"]["selector"], each)]
        ports = {port["name"]: port["containerPort"] for port in container(one)["ports"]}
        for port in service["spec"]["ports"]:
            assert port["port"] == ports[port["targetPort"]]
    budgets = of_kind(objects, "PodDisruptionBudget")
    assert budgets.keys() == ours(what).keys()
    for name, budget in budgets.items():
        selected = [each for each, one in deployments.items() if selects(budget["spec"]["selector"]["matchLabels"], one)]
        assert (selected, budget["spec"]["maxUnavailable"]) == ([name], 1)


def test_deployments_do_not_take_each_others_pods(what: str) -> None:
    """The selector of a Deployment takes its own pods and no others."""
    deployments = of_kind(rendered(what), "Deployment")
    for name, one in deployments.items():
        taken = [other for other, each in deployments.items() if selects(one["spec"]["selector"]["matchLabels"], each)]
        assert taken == [name]


def test_the_configuration_names_services_that_are_there(what: str) -> None:
    """A worker's target is the headless Service of the pods that serve that worker; the aggregator's is one, too."""
    objects, loaded = rendered(what), config(what)
    services = of_kind(objects, "Service")
    targets = {name: host_port(worker.target) for name, worker in loaded.catalogue.workers.items()}
    targets["aggregator"] = host_port(loaded.server.aggregator)
    for name, (host, port) in targets.items():
        service = services[host]
        assert service["spec"]["clusterIP"] == "None"
        assert [each["port"] for each in service["spec"]["ports"]] == [port]
        (one,) = [each for each in ours(what).values() if selects(service["spec"]["selector"], each)]
        if name != "aggregator":
            functions = command(arguments(objects, one))["functions"]
            assert [each.name for each in imported(functions)] == [name]


def test_every_variable_is_read_by_somebody(what: str) -> None:
    """By our code or OpenTelemetry's; those that are only a step to another one are used in that one."""
    for name, one in ours(what).items():
        inside = " ".join([*map(str, container(one)["args"]), *(str(each.get("value", "")) for each in container(one)["env"])])
        for variable in environment(rendered(what), one):
            assert variable in variables() or f"$({variable})" in inside, f"{name}: {variable}"


def test_every_pod_can_be_told_from_the_others(what: str) -> None:
    """service.instance.id is the pod's name, or metrics of two pods would be one series; workers are services of their own."""
    for name, one in ours(what).items():
        found = environment(rendered(what), one)
        assert "service.instance.id=<metadata.name>" in found["OTEL_RESOURCE_ATTRIBUTES"]
        if name in workers(what):
            assert found["OTEL_SERVICE_NAME"] == f"worker-{found['WORKER']}"


def test_every_pod_is_hardened(what: str) -> None:
    """Not root, nothing writable, no capability, no token, the runtime's seccomp profile, a bound on what it uses."""
    accounts = of_kind(rendered(what), "ServiceAccount")
    for one in of_kind(rendered(what), "Deployment").values():
        pod, only = one["spec"]["template"]["spec"], container(one)
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert only["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert pod["automountServiceAccountToken"] is False
        assert accounts[pod["serviceAccountName"]]["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        for bound in ("requests", "limits"):
            assert {"cpu", "memory"} <= only["resources"][bound].keys()


def test_a_pod_is_given_the_time_to_leave(what: str) -> None:
    """The grace period is longer than announce or preStop, drain, and the last telemetry together."""
    server = config(what).server
    for name, one in ours(what).items():
        grace = one["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
        if name == "dispatcher":
            needed = (server.announce + server.drain) / SECOND + FLUSHES
        else:
            sleep = container(one)["lifecycle"]["preStop"]["sleep"]["seconds"]
            drain = command(arguments(rendered(what), one))["drain"]
            assert drain.endswith("s")
            needed = sleep + int(drain[:-1]) + FLUSHES / 2
        assert grace > needed, name


def test_callers_have_left_when_a_dispatcher_takes_nothing_more(what: str) -> None:
    """Also the oldest connection (±10 %) ends within `announce`; and a new pod is known before an old one begins to leave."""
    server, spec = config(what).server, ours(what)["dispatcher"]["spec"]
    assert server.connection_age is not None
    assert server.connection_age * 1.1 < server.announce
    assert spec["minReadySeconds"] * SECOND >= server.connection_age * 1.1
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


def test_the_dispatcher_knows_its_memory(what: str) -> None:
    """`overload.memory.limit` is the container's limit, so that it sheds before it is killed."""
    memory = container(ours(what)["dispatcher"])["resources"]["limits"]["memory"]
    assert memory.endswith("Mi")
    assert config(what).server.overload.memory_limit == int(memory[:-2]) * 2**20


def test_what_overlays_are_for(what: str) -> None:
    """kind: Jaeger and Prometheus. prod: autoscaled, spread, closed, telemetry to a collector. Neither runs `latest`."""
    objects = rendered(what)
    deployments = of_kind(objects, "Deployment")
    scaled = {one["spec"]["scaleTargetRef"]["name"] for one in of_kind(objects, "HorizontalPodAutoscaler").values()}
    assert deployments.keys() - ours(what).keys() == (NOT_OURS if what == "overlays/kind" else set())
    assert all("replicas" not in one["spec"] for one in ours(what).values())
    if what != "base":
        for one in deployments.values():
            assert container(one)["image"].rpartition(":")[2][:1].isdigit() or ":v" in container(one)["image"]
        assert all(one["metadata"].get("namespace") == "fanmesh" for one in objects if one["kind"] != "Namespace")
    told = environment(objects, deployments["dispatcher"])
    match what:
        case "base":
            assert not any("ENDPOINT" in name for name in told)
        case "overlays/kind":
            assert told["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] == "http://jaeger:4317"
            assert "OTEL_EXPORTER_OTLP_ENDPOINT" not in told  # Jaeger takes no metrics
        case _:
            assert scaled == ours(what).keys()
            assert told["OTEL_EXPORTER_OTLP_ENDPOINT"].endswith(":4317")
            assert all("topologySpreadConstraints" in one["spec"]["template"]["spec"] for one in ours(what).values())
            check_policies(objects, deployments)


def check_policies(objects: list[Object], deployments: dict[str, Object]) -> None:
    """Nothing by default; and every way that a request, a scrape or a span takes is open, at the port that is used."""
    policies = of_kind(objects, "NetworkPolicy")
    assert policies["default-deny"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}

    def open_ports(direction: str, one: Object, other: dict[str, str]) -> set[int]:
        sides = {"Egress": ("egress", "to"), "Ingress": ("ingress", "from")}
        key, peers = sides[direction]
        found: set[int] = set()
        for policy in policies.values():
            chosen = policy["spec"]["podSelector"].get("matchLabels", {})
            if not selects(chosen, one):
                continue
            for rule in policy["spec"].get(key, ()):
                allowed = [peer.get("podSelector", {}).get("matchLabels", {}) for peer in rule.get(peers, ())]
                if any(wanted.items() <= other.items() for wanted in allowed):
                    found |= {port["port"] for port in rule["ports"]}
        return found

    dispatcher = deployments["dispatcher"]
    for name, one in deployments.items():
        if name != "dispatcher":
            port = next(each["containerPort"] for each in container(one)["ports"] if each["name"] == "grpc")
            assert port in open_ports("Egress", dispatcher, labels(one))
            assert open_ports("Ingress", one, labels(dispatcher)) == {port}
    ports: dict[str, Any] = {each["name"]: each["containerPort"] for each in container(dispatcher)["ports"]}
    assert open_ports("Ingress", dispatcher, {"fanmesh.dev/caller": "true"}) == {ports["grpc"]}
    assert open_ports("Ingress", dispatcher, {"app.kubernetes.io/name": "prometheus"}) == {ports["metrics"]}
    assert open_ports("Ingress", dispatcher, {"app.kubernetes.io/name": "stranger"}) == set()

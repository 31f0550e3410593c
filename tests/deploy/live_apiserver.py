"""The manifests before a real kube-apiserver with a real etcd: `make test-k8s`, which builds both. Not part of the default run.

What a schema cannot say, the server does: defaults, rules between fields, admission, and the Pod Security Standard that the
namespace asks for. Nothing is scheduled: there are no controllers and no nodes.
"""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.kit.manifests import TOOLS, Object, of_kind, rendered
from tests.kit.otlp import accepts, free_port
from tests.kit.waiting import until

TOKEN = "a-token-of-a-test"  # noqa: S105  (of a server that lives for a test)
OVERLAYS = ("overlays/kind", "overlays/prod")
STARTS = 120.0


class Reply(NamedTuple):
    """Status, body, and what the server warns of."""

    status: int
    body: Any
    warnings: list[str]


@dataclass(frozen=True, slots=True)
class Apiserver:
    """One that listens on `port`."""

    port: int

    def ask(self, method: str, path: str, body: Object | None = None, form: str = "application/json") -> Reply:
        """One request as an administrator."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # it made its certificate a moment ago
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=30, context=context)
        try:
            headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": form}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read().decode()
            warnings = answer.headers.get_all("Warning") or []
        finally:
            connection.close()
        return Reply(answer.status, json.loads(text) if text.startswith("{") else text, warnings)

    def ready(self) -> bool:
        """Whether it serves."""
        try:
            return self.ask("GET", "/readyz").status == 200
        except OSError:
            return False

    def apply(self, one: Object, *, dry: bool) -> Reply:
        """`kubectl apply --server-side`, strictly: an unknown field is an error."""
        query = f"fieldManager=test&fieldValidation=Strict{'&dryRun=All' if dry else ''}"
        return self.ask("PATCH", f"{self._path(one)}?{query}", one, "application/apply-patch+yaml")

    def _path(self, one: Object) -> str:
        group = one["apiVersion"] if "/" in one["apiVersion"] else ""
        plural = {"NetworkPolicy": "networkpolicies"}.get(one["kind"], f"{one['kind'].lower()}s")
        namespace = one["metadata"].get("namespace")
        inside = f"/namespaces/{namespace}" if namespace else ""
        return f"{f'/apis/{group}' if group else '/api/v1'}{inside}/{plural}/{one['metadata']['name']}"


@contextmanager
def process(directory: Path, name: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A program from .tools/bin, ended and waited for; what it says goes to a file in `directory`."""
    with (directory / f"{name}.log").open("wb") as log:
        running = subprocess.Popen([TOOLS / name, *arguments], stdout=log, stderr=subprocess.STDOUT)
        try:
            yield running
        finally:
            running.terminate()
            try:
                running.wait(20)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apiserver]:
    """A kube-apiserver and its etcd, as small as they are."""
    home = tmp_path_factory.mktemp("apiserver")
    key = home / "accounts.key"
    subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
    (home / "tokens.csv").write_text(f"{TOKEN},admin,1,system:masters\n")
    port, clients, peers = free_port(), free_port(), free_port()
    with ExitStack() as stack:
        etcd = stack.enter_context(
            process(
                home,
                "etcd",
                f"--data-dir={home}/etcd",
                f"--listen-client-urls=http://127.0.0.1:{clients}",
                f"--advertise-client-urls=http://127.0.0.1:{clients}",
                f"--listen-peer-urls=http://127.0.0.1:{peers}",
                f"--initial-advertise-peer-urls=http://127.0.0.1:{peers}",
                f"--initial-cluster=default=http://127.0.0.1:{peers}",
                "--unsafe-no-fsync",
            )
        )
        until(lambda: accepts(clients) or etcd.poll() is not None, "etcd to listen", STARTS)
        apiserver = stack.enter_context(
            process(
                home,
                "kube-apiserver",
                f"--etcd-servers=http://127.0.0.1:{clients}",
                f"--cert-dir={home}/certificates",
                "--bind-address=127.0.0.1",
                f"--secure-port={port}",
                f"--token-auth-file={home}/tokens.csv",
                "--authorization-mode=RBAC",
                "--service-cluster-ip-range=10.0.0.0/24",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={key}",
                f"--service-account-signing-key-file={key}",
            )
        )
        made = Apiserver(port)
        until(lambda: made.ready() or apiserver.poll() is not None, "kube-apiserver to be ready", STARTS)
        assert apiserver.poll() is None, (home / "kube-apiserver.log").read_text()[-4000:]
        yield made


@pytest.fixture(params=OVERLAYS)
def objects(request: pytest.FixtureRequest, server: Apiserver) -> list[Object]:
    """The objects of an overlay, whose namespace and service accounts are there, as pods need them to be."""
    found = rendered(request.param)
    for one in of_kind(found, "Namespace", "ServiceAccount").values():
        reply = server.apply(one, dry=False)
        assert reply.status in {200, 201}, reply.body
    return found


def test_every_object_is_accepted(server: Apiserver, objects: list[Object]) -> None:
    """Applied on the server's side, as a dry run: no error, and no warning (deprecation, pod security, unknown fields)."""
    for one in objects:
        reply = server.apply(one, dry=True)
        assert reply.status in {200, 201}, reply.body
        assert reply.warnings == [], one["metadata"]["name"]


def test_every_pod_meets_the_restricted_standard(server: Apiserver, objects: list[Object]) -> None:
    """The pods that the Deployments would make are admitted by the namespace, which enforces `restricted`."""
    for name, deployment in of_kind(objects, "Deployment").items():
        reply = dry_pod(server, deployment["spec"]["template"], name)
        assert reply.status == 201, reply.body
        assert reply.warnings == []


def test_the_server_refuses_what_is_wrong(server: Apiserver, objects: list[Object]) -> None:
    """It would have said so: a pod that may be root is forbidden, an unknown field and an impossible probe are refused."""
    deployment = of_kind(objects, "Deployment")["dispatcher"]
    template = json.loads(json.dumps(deployment["spec"]["template"]))
    del template["spec"]["securityContext"]["runAsNonRoot"]
    reply = dry_pod(server, template, "rooted")
    assert (reply.status, "restricted" in reply.body["message"]) == (403, True)

    unknown = json.loads(json.dumps(deployment))
    unknown["spec"]["minReadySecs"] = 3
    assert server.apply(unknown, dry=True).status >= 400
    impossible = json.loads(json.dumps(deployment))
    impossible["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]["grpc"]["port"] = 70000
    assert server.apply(impossible, dry=True).status == 422


def dry_pod(server: Apiserver, template: Object, name: str) -> Reply:
    """What the server says to a pod of this template."""
    metadata = {**template["metadata"], "name": name, "namespace": "fanmesh"}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
    return server.ask("POST", "/api/v1/namespaces/fanmesh/pods?dryRun=All&fieldValidation=Strict", pod)

"""The manifests under deploy/, as a cluster would get them: rendered by kustomize, read as values."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final, TypeAlias

from ruamel.yaml import YAML

from tests.kit.programs import ROOT

Object: TypeAlias = dict[str, Any]

DEPLOY: Final = ROOT / "deploy"
TOOLS: Final = ROOT / ".tools" / "bin"
RENDERED: Final = ("base", "overlays/kind", "overlays/prod")
COMPONENTS: Final = ("jaeger", "network-policies", "prometheus")

SCHEMAS: Final = Path(str(resources.files("kubernetes_validate"))) / "kubernetes-json-schema"
"""JSON Schemas of every kind, made from the OpenAPI document of each Kubernetes: the ones that kubernetes-validate ships."""


def documents(text: str) -> list[Any]:
    """All documents of a YAML text."""
    return [document for document in YAML(typ="safe", pure=True).load_all(text) if document is not None]


def document(path: Path) -> Any:
    """The only document of a YAML file."""
    (only,) = documents(path.read_text("utf-8"))
    return only


def missing(tool: str) -> str:
    """Why `tool` cannot be used here; empty if it can."""
    if (TOOLS / tool).exists() or shutil.which("go"):
        return ""
    return f"NOT RUN: {tool} is built from Go modules, and there is no go here"


@cache
def tool(name: str) -> str:
    """A program that `make tools` builds, as deploy/tools says now. AssertionError with what make said if that fails."""
    if shutil.which("go"):
        made = subprocess.run(["make", "tools"], cwd=ROOT, capture_output=True, text=True, check=False)
        assert made.returncode == 0, made.stdout + made.stderr
    return str(TOOLS / name)


@cache
def text(folder: Path) -> str:
    """What `kustomize build` makes of a folder. AssertionError with its output if it fails or warns."""
    run = subprocess.run([tool("kustomize"), "build", str(folder)], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, ""), run.stderr
    return run.stdout


@cache
def rendered(what: str) -> list[Object]:
    """The objects of a base or an overlay, named by its path below deploy/k8s."""
    return documents(text(DEPLOY / "k8s" / what))


def of_kind(objects: list[Object], *kinds: str) -> dict[str, Object]:
    """Those of these kinds, by name."""
    return {one["metadata"]["name"]: one for one in objects if one["kind"] in kinds}


def container(deployment: Object) -> Object:
    """Its only container."""
    (only,) = deployment["spec"]["template"]["spec"]["containers"]
    return dict(only)


def labels(deployment: Object) -> dict[str, str]:
    """The labels of its pods."""
    return dict(deployment["spec"]["template"]["metadata"]["labels"])


def selects(selector: dict[str, str], deployment: Object) -> bool:
    """Whether a selector takes its pods."""
    return bool(selector) and selector.items() <= labels(deployment).items()


def environment(objects: list[Object], deployment: Object) -> dict[str, str]:
    """The variables of its container, fields of the pod as far as they are labels, `$(NAME)` put in as the kubelet does."""
    found: dict[str, str] = {}
    maps, it = of_kind(objects, "ConfigMap"), container(deployment)
    for source in it.get("envFrom", ()):
        found |= maps[source["configMapRef"]["name"]]["data"]
    for one in it.get("env", ()):
        if "value" in one:
            found[one["name"]] = expanded(one["value"], found)
        else:
            path = one["valueFrom"]["fieldRef"]["fieldPath"]
            label = path.removeprefix("metadata.labels['").removesuffix("']")
            found[one["name"]] = labels(deployment).get(label, f"<{path}>")
    return found


def expanded(value: str, variables: dict[str, str]) -> str:
    """`$(NAME)` for each variable."""
    for name, content in variables.items():
        value = value.replace(f"$({name})", content)
    return value


def arguments(objects: list[Object], deployment: Object) -> list[str]:
    """What its program is called with."""
    variables = environment(objects, deployment)
    return [expanded(word, variables) for word in container(deployment).get("args", ())]


def standalone(kind: str, version: str, kubernetes: str) -> Object:
    """The strict schema of a kind with all that it refers to inside, as kubeconform needs it."""
    folder = SCHEMAS / f"v{kubernetes}-local-strict"
    definitions = json.loads((folder / "_definitions.json").read_text())["$defs"]
    found = json.loads((folder / schema_file(kind, version)).read_text().replace("/api/_definitions.json#", "#"))
    found.pop("$id", None)
    found["$defs"] = {}
    waiting = list(references(found))
    while waiting:
        name = waiting.pop()
        if name not in found["$defs"]:
            found["$defs"][name] = definitions[name]
            waiting.extend(references(definitions[name]))
    return dict(found)


def schema_file(kind: str, version: str) -> str:
    """`Deployment`, `apps/v1` → `deployment-apps-v1.json`."""
    group, _, number = version.rpartition("/")
    return "-".join(filter(None, (kind.lower(), group.partition(".")[0], number))) + ".json"


def references(schema: Any) -> Iterator[str]:
    """The names of all definitions that a schema refers to."""
    if isinstance(schema, dict):
        if isinstance(reference := schema.get("$ref"), str):
            yield reference.removeprefix("#/$defs/")
        for value in schema.values():
            yield from references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from references(value)

"""Every object that kustomize makes is one that Kubernetes knows, field by field, from the oldest version supported on."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from tests.kit.manifests import (
    COMPONENTS,
    DEPLOY,
    RENDERED,
    container,
    documents,
    environment,
    missing,
    of_kind,
    rendered,
    schema_file,
    standalone,
    text,
    tool,
)
from tests.kit.programs import ROOT

OLDEST, NEWEST = "1.30.0", "1.37.0"
"""The oldest has `preStop: sleep` switched on; the newest is the newest that there are schemas of."""

pytestmark = pytest.mark.skipif(bool(missing("kustomize")), reason=missing("kustomize"))


@pytest.mark.parametrize("what", RENDERED)
@pytest.mark.parametrize("version", [OLDEST, "1.35.0", NEWEST])
def test_every_object_fits_its_schema(what: str, version: str) -> None:
    """By kubernetes-validate, strictly: no unknown field, no wrong type."""
    for one in rendered(what):
        assert kubernetes_validate.validate(one, version, strict=True) == version.rpartition(".")[0]


def test_what_does_not_fit_is_found() -> None:
    """A misspelled field and a wrong type are refused: the schemas bite."""
    deployment = next(one for one in rendered("base") if one["kind"] == "Deployment")
    spec = deployment["spec"]
    for wrong in ({**spec, "minReadySecs": 3}, {**spec, "minReadySeconds": "3"}):
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate({**deployment, "spec": wrong}, NEWEST, strict=True)


@pytest.mark.parametrize("component", COMPONENTS)
def test_every_component_can_be_added_by_itself(component: str, tmp_path: Path) -> None:
    """To the base, in a namespace: kustomize builds it, and it adds what it is for."""
    here = tmp_path / "overlay"
    here.mkdir()
    up = "/".join([".."] * len(here.parts[1:]))
    k8s = f"{up}{DEPLOY}/k8s"
    parts = {"resources": [f"{k8s}/base"], "components": [f"{k8s}/components/{component}"], "namespace": "somewhere"}
    (here / "kustomization.yaml").write_text(json.dumps(parts))
    made = text(here)
    plain = {(one["kind"], one["metadata"]["name"]) for one in rendered("base")}
    added = made.count("\nkind: ") - len(plain) + made.startswith("kind: ")
    assert added > 0
    assert "namespace: somewhere" in made


def test_an_overlay_of_ones_own(tmp_path: Path) -> None:
    """The one of docs/operating.md, word for word but for its paths: own images, configuration and collector over `prod`."""
    (example,) = re.findall(r"```yaml\n(apiVersion: kustomize.*?)```", (ROOT / "docs" / "operating.md").read_text(), re.DOTALL)
    here = tmp_path / "mine"
    here.mkdir()
    up = "/".join([".."] * len(here.parts[1:]))
    (here / "fanmesh.yaml").write_text("of one's own")
    (here / "kustomization.yaml").write_text(example.replace("../fanmesh/deploy", f"{up}{DEPLOY}"))
    objects = documents(text(here))
    dispatcher = of_kind(objects, "Deployment")["dispatcher"]
    (volume,) = dispatcher["spec"]["template"]["spec"]["volumes"]
    assert of_kind(objects, "ConfigMap")[volume["configMap"]["name"]]["data"] == {"fanmesh.yaml": "of one's own"}
    assert container(dispatcher)["image"] == "your.registry/fanmesh/dispatcher:0.1.0"
    told = environment(objects, dispatcher)
    assert told["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://your-collector.monitoring:4317"
    assert told["OTEL_TRACES_SAMPLER_ARG"] == "0.05"


@pytest.mark.parametrize("what", RENDERED)
def test_kubeconform_says_the_same(what: str, tmp_path: Path) -> None:
    """A second validator, with keys that stand twice refused, over schemas of the newest Kubernetes."""
    count = len(rendered(what))
    folder = schemas(rendered(what), tmp_path)
    run = kubeconform(folder, text(DEPLOY / "k8s" / what))
    summary = json.loads(run.stdout)["summary"]
    assert run.returncode == 0, run.stdout
    assert summary == {"valid": count, "invalid": 0, "errors": 0, "skipped": 0}


def test_kubeconform_finds_what_is_wrong(tmp_path: Path) -> None:
    """It does not pass whatever it is given."""
    folder = schemas(rendered("base"), tmp_path)
    run = kubeconform(folder, text(DEPLOY / "k8s" / "base").replace("maxSurge:", "maxSurges:", 1))
    summary = json.loads(run.stdout)["summary"]
    assert (run.returncode, summary["invalid"]) == (1, 1)


def schemas(objects: list[dict[str, Any]], folder: Path) -> Path:
    """The schemas of these objects, in files by the names that kubeconform asks for."""
    for kind, version in {(one["kind"], one["apiVersion"]) for one in objects}:
        (folder / schema_file(kind, version)).write_text(json.dumps(standalone(kind, version, NEWEST)))
    return folder


def kubeconform(folder: Path, manifests: str) -> subprocess.CompletedProcess[str]:
    """One run of it."""
    location = f"{folder}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json"
    command = [tool("kubeconform"), "-strict", "-summary", "-output", "json", "-schema-location", location, "-"]
    return subprocess.run(command, input=manifests, capture_output=True, text=True, check=False)

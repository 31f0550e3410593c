"""The scrape configuration and the alerts speak of what there is, and promtool takes them."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import Any

import pytest

from fanmesh.runtime.histograms import Histogram
from tests.kit.deployed import families
from tests.kit.manifests import DEPLOY, document, missing, of_kind, rendered
from tests.kit.programs import ROOT

FOLDER = DEPLOY / "prometheus"
RULES: list[dict[str, Any]] = [rule for group in document(FOLDER / "alerts.yaml")["groups"] for rule in group["rules"]]
NO_PROMTOOL = "" if shutil.which("promtool") else "NOT RUN: no promtool here (Debian: prometheus), so nobody has read the rules"

SCRAPED = {"instance", "job", "le"}
"""Labels that Prometheus adds."""


def series() -> dict[str, set[str]]:
    """Every series that a dispatcher shows, with its labels."""
    found: dict[str, set[str]] = {"up": set()}
    for family in families():
        suffixes = ("_bucket", "_count", "_sum") if isinstance(family, Histogram) else ("",)
        found |= {family.about.name + suffix: set(family.about.labels) for suffix in suffixes}
    return found


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_speaks_of_series_and_labels_that_exist(rule: dict[str, Any]) -> None:
    """Each metric by its full name; each label of a matcher, a `by` or an `on` is one of a metric in the same rule."""
    expression = rule["expr"]
    names = set(re.findall(r"\bfanmesh_\w+|\bup\b", expression))
    assert names
    assert names <= series().keys()
    known = SCRAPED.union(*(series()[name] for name in names))
    grouped = {label.strip() for group in re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", expression) for label in group.split(",")}
    matched = set(re.findall(r'(\w+)(?:=~|!~|!=|=)"', expression))
    shown = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
    assert grouped | matched | shown <= known
    assert shown <= grouped | (known if not grouped else set())


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_is_tested_and_explained(rule: dict[str, Any]) -> None:
    """Promtool sees it fire and sees it silent, and the operator's page says what to do."""
    cases = [case for test in document(FOLDER / "alerts.test.yaml")["tests"] for case in test["alert_rule_test"]]
    mine = [bool(case["exp_alerts"]) for case in cases if case["alertname"] == rule["alert"]]
    assert set(mine) == {True, False}
    assert f"`{rule['alert']}`" in (ROOT / "docs" / "operating.md").read_text()
    assert rule["labels"]["severity"] in {"page", "ticket"}


@pytest.mark.skipif(bool(missing("kustomize")), reason=missing("kustomize"))
def test_prometheus_finds_the_dispatchers() -> None:
    """By a headless Service that shows pods which are not ready, too, at the port where they serve /metrics."""
    ((lookup,),) = [config["dns_sd_configs"] for config in document(FOLDER / "prometheus.yaml")["scrape_configs"]]
    objects = rendered("overlays/kind")
    (name,) = lookup["names"]
    service = of_kind(objects, "Service")[name]["spec"]
    assert (service["clusterIP"], service["publishNotReadyAddresses"]) == ("None", True)
    assert [port["port"] for port in service["ports"]] == [lookup["port"]]
    assert lookup["type"] == "A"
    (config,) = [one for one in of_kind(objects, "ConfigMap").values() if "prometheus.yaml" in one["data"]]
    assert config["data"].keys() == {"prometheus.yaml", *document(FOLDER / "prometheus.yaml")["rule_files"]}


@pytest.mark.skipif(bool(NO_PROMTOOL), reason=NO_PROMTOOL)
@pytest.mark.parametrize(
    "command",
    [("check", "config", "prometheus.yaml"), ("check", "rules", "alerts.yaml"), ("test", "rules", "alerts.test.yaml")],
    ids=" ".join,
)
def test_promtool_takes_them(command: tuple[str, ...]) -> None:
    """The configuration is one, the rules are well-formed, and each alert fires when it should and only then."""
    run = subprocess.run(["promtool", *command], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr

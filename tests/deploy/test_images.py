"""The Dockerfile, as far as it can be read without an engine: what it copies exists, and what it makes is what is run."""

from __future__ import annotations

import json
import re
import tomllib
from fnmatch import fnmatch
from functools import cache
from typing import NamedTuple

from tests.kit.deployed import command
from tests.kit.manifests import DEPLOY, document
from tests.kit.programs import ROOT

IMAGES = DEPLOY / "images"
PINNED = re.compile(r"[a-z0-9./-]+:\d+[.]\d+[.]\d+[a-z0-9.-]*")


class Step(NamedTuple):
    """One instruction."""

    word: str
    rest: str


class Stage(NamedTuple):
    """One FROM and what follows it."""

    base: str
    steps: list[Step]

    def of(self, word: str) -> list[str]:
        """What stands behind each instruction of this name."""
        return [step.rest for step in self.steps if step.word == word]


@cache
def stages() -> dict[str, Stage]:
    """By name; a base that is another stage keeps that stage's name."""
    text = re.sub(r"\\\n\s*", " ", (IMAGES / "Dockerfile").read_text())
    found: dict[str, Stage] = {}
    arguments: dict[str, str] = {}
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        word, _, rest = line.partition(" ")
        if word == "ARG":
            name, _, value = rest.partition("=")
            arguments[name] = value
        elif word == "FROM":
            base, _, name = rest.partition(" AS ")
            for argument, value in arguments.items():
                base = base.replace(f"${{{argument}}}", value)
            found[name] = Stage(base, [])
        else:
            list(found.values())[-1].steps.append(Step(word, rest))
    return found


def words(text: str) -> list[str]:
    """The exec form of an instruction, which is JSON; the shell's form would keep signals from the process."""
    return [str(word) for word in json.loads(text)]


def allowed(path: str) -> bool:
    """Whether a file of the context reaches the build, by the last line that speaks of it."""
    verdict = True
    for line in (IMAGES / "Dockerfile.dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!")
        if line and not line.startswith("#") and (fnmatch(path, pattern) or path.startswith(f"{pattern}/")):
            verdict = line.startswith("!")
    return verdict


def test_bases_are_pinned() -> None:
    """One base for all, by a full version, and a Python that the project supports."""
    bases = {stage.base for stage in stages().values() if stage.base not in stages()}
    (base,) = bases
    assert PINNED.fullmatch(base)
    least = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"].removeprefix(">=")
    version = base.partition(":")[2].split(".")[:2]
    assert tuple(map(int, version)) >= tuple(map(int, least.split(".")))


def test_what_is_copied_exists_and_is_sent() -> None:
    """Every source of a COPY is in the tree and not kept back by the ignore file, which keeps back all else."""
    sources = [
        source
        for stage in stages().values()
        for rest in stage.of("COPY")
        if "--from" not in rest
        for source in rest.split()[:-1]
    ]
    assert sources
    for source in sources:
        assert (ROOT / source).exists(), source
        assert allowed(source), source
    assert not any(map(allowed, (".git", ".venv", "tests", "deploy", ".tools", "fanmesh.pem")))


def test_the_whole_project_is_copied() -> None:
    """All packages of the wheel, the file that pins, and what the metadata names: else pip fails in the build."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    copied = {source for rest in stages()["services"].of("COPY") for source in rest.split()[:-1]}
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    named = {project["project"]["readme"], *project["project"]["license-files"]}
    assert copied == {*wheel, *named, "pyproject.toml", "constraints.txt"}


def test_versions_are_those_of_constraints() -> None:
    """Both variables that pip reads name the file that was copied; the extras are those that the project has."""
    services = stages()["services"]
    assert services.of("WORKDIR") == ["/src"]
    for variable in ("PIP_CONSTRAINT", "PIP_BUILD_CONSTRAINT"):
        assert f"{variable}=/src/constraints.txt" in " ".join(services.of("ENV"))
    (install,) = stages()["samples"].of("RUN")
    (service,) = services.of("RUN")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert re.findall(r"\.\[([\w,]+)\]", service) == ["fast"]
    assert re.findall(r"\.\[([\w,]+)\]", install) == ["enrichment,fast"]
    assert {"enrichment", "fast"} <= extras.keys()


def test_nobody_is_root() -> None:
    """Every image that is run ends as a user with a number, the one of the manifests, who may write nothing."""
    runtime = stages()["runtime"]
    (user,) = runtime.of("USER")
    hardening = document(DEPLOY / "k8s" / "base" / "hardening.yaml")
    pod = next(step["value"] for step in hardening if step["path"].endswith("/spec/securityContext"))
    assert user == f"{pod['runAsUser']}:{pod['runAsGroup']}"
    assert not any("chown" in step.rest for stage in stages().values() for step in stage.steps)
    for name in ("dispatcher", "aggregator", "workers"):
        assert stages()[name].base == "runtime"
        assert stages()[name].of("USER") == []


def test_an_image_runs_a_verb() -> None:
    """The entry point is the project's console script, and what follows it a command line of it, in the exec form."""
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    (entry,) = stages()["runtime"].of("ENTRYPOINT")
    assert words(entry) == [*scripts]
    verbs = {name: words(stages()[name].of("CMD")[0]) for name in ("dispatcher", "aggregator", "workers")}
    assert command(verbs["dispatcher"])["verb"] == "serve"
    assert command(verbs["aggregator"])["listen"] in {f"0.0.0.0:{port}" for port in stages()["aggregator"].of("EXPOSE")}
    assert verbs["workers"] == ["worker", "--help"]  # which worker is for whoever runs it to say

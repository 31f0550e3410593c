"""The programs in examples/, built and run by the very lines that examples/README.md tells a reader to type.

They run in a copy of the tree, .cache/examples, where stubs and binaries stay: a second run compiles only what has changed, and
nothing appears between the files that are ours. What is downloaded goes where each language's client keeps it.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from ruamel.yaml import YAML

from tests.kit.programs import ROOT, program

TREE: Final = ROOT / ".cache" / "examples"
BINARIES: Final = TREE / "bin"

MADE: Final = frozenset({"gen", "bin", "node_modules", "target", "__pycache__"})
"""Folders that building an example makes."""

BUILD_WITHIN: Final = 540.0
"""Seconds for the lines of a block. The first time they download and compile gRPC, on a machine that may be busy."""

TOOLS: Final = {
    "Python": (),
    "Go": ("go",),
    "Node": ("node", "npm"),
    "Java": ("java", "javac", "mvn"),
    "grpcurl": ("go",),
}
"""What each section of the README needs, beside what `make setup` brings."""

Note = Callable[[str, object], None]
"""pytest's `record_property`."""

NO_PROXY: Final = {"grpc_proxy": "", "http_proxy": "", "https_proxy": "", "no_grpc_proxy": "127.0.0.1", "no_proxy": "127.0.0.1"}
"""For what only talks to this machine."""


def missing(section: str) -> str:
    """The tools of a section that are not here; empty if all are."""
    return ", ".join(tool for tool in TOOLS[section] if shutil.which(tool) is None)


def typed(section: str) -> list[str]:
    """The blocks of shell in a section of the README, as a reader finds them."""
    readme = (ROOT / "examples" / "README.md").read_text()
    text = re.split(rf"^## {re.escape(section)}$", readme, flags=re.MULTILINE)[1].split("\n## ")[0]
    return re.findall(r"^```sh\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def environment() -> dict[str, str]:
    """As in a shell where the project's environment is active; programs that are installed land in the copy of the tree."""
    path = os.pathsep.join((str(Path(sys.executable).parent), str(BINARIES), os.environ["PATH"]))
    return {"PATH": path, "GOBIN": str(BINARIES), "GOFLAGS": "-mod=readonly -buildvcs=false"}


async def shell(lines: str, *, proxies: bool = True) -> tuple[int, str]:
    """Run lines of shell at the root of the copy, up to the first that fails: exit code and output. Builds may need proxies."""
    command = ("bash", "-euo", "pipefail", "-c", lines)
    async with program(*command, cwd=copied(), environment=environment() | ({} if proxies else NO_PROXY)) as running:
        code = await running.ended(BUILD_WITHIN)
        return code, "".join(running.heard)


async def succeeds(lines: str) -> str:
    """The output of lines of shell; AssertionError with it if one of them fails."""
    code, said = await shell(lines)
    assert code == 0, f"{lines}\nexit code {code}\n{said}"
    return said


def copied() -> Path:
    """The copy of the tree, up to date. A file that did not change keeps its age, for the sake of those who build by that."""
    wanted = {file.relative_to(ROOT): file for top in ("examples", "protos") for file in _files(ROOT / top)}
    for name, source in wanted.items():
        target = TREE / name
        if not target.exists() or target.read_bytes() != source.read_bytes():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    for top in ("examples", "protos"):
        for file in _files(TREE / top):
            if file.relative_to(TREE) not in wanted:
                file.unlink()
    return TREE


def _files(top: Path) -> list[Path]:
    """The files below `top` that somebody wrote."""
    return [file for file in top.rglob("*") if file.is_file() and not MADE.intersection(file.relative_to(top).parts)]


def plans_of(path: Path, **times: str) -> dict[str, Any]:
    """The plans of a configuration, with other times where they name one: a busy machine is not the example's."""

    def patient(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: times[key] if key in times else patient(value) for key, value in node.items()}
        return node

    document = YAML(typ="safe").load(path)
    return {name: patient(plan) for name, plan in document["plans"].items()}


def present(examples: Mapping[str, str], note: Note) -> list[str]:
    """Those of the examples, by the section they are in, that can run here. Which these are is said at the end of the run."""
    here = []
    for name, section in examples.items():
        if absent := missing(section):
            note("absent example", f"{name} (no {absent} here)")
        else:
            note("example", name)
            here.append(name)
    if not here:
        pytest.skip(f"NOT RUN: {', '.join(f'{name} (no {missing(section)} here)' for name, section in examples.items())}")
    return here

"""Callers in other languages, built from protos/ as their authors would build them: no file of ours beside them.

Everything downloaded or generated goes to .cache/clients, so that a second run only compiles what has changed.
"""

from __future__ import annotations

import shutil
from importlib import resources
from pathlib import Path
from typing import Final

from tests.kit.programs import ROOT, program, python

SOURCES: Final = ROOT / "tests" / "e2e" / "clients"
CACHE: Final = ROOT / ".cache" / "clients"
PROTOS: Final = ROOT / "protos"

BUILD_WITHIN: Final = 540.0
"""Seconds for one step of a build. The first one downloads and compiles gRPC, on a machine that may be busy."""

TOOLS: Final = {"go": ("go",), "node": ("node", "npm")}


def missing(language: str) -> str:
    """The tools of a language that are not here; empty if all are."""
    return ", ".join(tool for tool in TOOLS[language] if shutil.which(tool) is None)


async def built(language: str) -> tuple[str, ...]:
    """The command that runs the caller in this language; takes a target as its last argument."""
    home = CACHE / language
    home.mkdir(parents=True, exist_ok=True)
    for source in (SOURCES / language).iterdir():
        shutil.copy(source, home / source.name)
    return await (_go(home) if language == "go" else _node(home))


async def _go(home: Path) -> tuple[str, ...]:
    """Plugins as go.mod pins them, stubs, then the program. Go's own caches are used: they are outside the tree."""
    plugins = ("google.golang.org/protobuf/cmd/protoc-gen-go", "google.golang.org/grpc/cmd/protoc-gen-go-grpc")
    await _step(home, "go", "build", "-o", "bin/", *plugins)
    files = sorted(str(file.relative_to(PROTOS)) for file in (PROTOS / "fanmesh").rglob("*.proto"))
    outs = [f"--{plugin}_{what}" for plugin in ("go", "go-grpc") for what in ("out=.", "opt=module=fanmesh.dev")]
    bundled = str(resources.files("grpc_tools") / "_proto")
    paths = [f"--plugin=protoc-gen-{plugin}={home / 'bin' / f'protoc-gen-{plugin}'}" for plugin in ("go", "go-grpc")]
    await _step(home, *python("-m", "grpc_tools.protoc", f"-I{PROTOS}", f"-I{bundled}", *paths, *outs, *files))
    await _step(home, "go", "build", "-o", "bin/client", ".")
    return (str(home / "bin" / "client"),)


async def _node(home: Path) -> tuple[str, ...]:
    """The packages that package.json pins. No lock file: it would hold addresses."""
    wanted, stamp = (home / "package.json").read_text(), home / ".installed"
    if not stamp.exists() or stamp.read_text() != wanted:
        quiet = ("--no-audit", "--no-fund", "--loglevel=error")
        await _step(home, "npm", "install", "--no-package-lock", "--ignore-scripts", *quiet)
        stamp.write_text(wanted)
    return ("node", str(home / "client.js"), str(PROTOS))


async def _step(home: Path, *command: str) -> None:
    """One step of a build; AssertionError with its output if it fails."""
    environment = {"GOFLAGS": "-mod=readonly -buildvcs=false"}
    async with program(*command, cwd=home, environment=environment) as running:
        code = await running.ended(BUILD_WITHIN)
        assert code == 0, f"{' '.join(command)}: exit code {code}\n{''.join(running.heard)}"

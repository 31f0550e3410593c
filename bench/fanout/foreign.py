"""The floors in other languages: the same fan-out as one writes it by hand in Go, in Java and in Node.

Built when the bench runs, into .tools, and not kept: a binary in the tree would be of one machine, stubs in it a second copy of
the protos. What a language needs is what its folder here pins.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.kit.processes import ROOT

SOURCES: Final = ROOT / "bench" / "fanout"
BUILT: Final = ROOT / ".tools" / "fanout"

Command = tuple[Path | str, ...]
"""A program and its first arguments; the worker's port and the number of branches come after them."""


def run(command: Sequence[Path | str], cwd: Path, env: Mapping[str, str] | None = None) -> None:
    """A step of a build; what it says goes to stderr. Raises CalledProcessError."""
    subprocess.run(command, cwd=cwd, env={**os.environ, **(env or {})}, stdout=sys.stderr, check=True)


def found(tool: str) -> Path:
    """Where a tool is that is known to be there: a process of the bench is a file to run."""
    return Path(shutil.which(tool) or tool)


def go() -> Command:
    """Stubs with the plugins that its go.mod pins, and one program."""
    source, program = SOURCES / "go", BUILT / "floor-go"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # buf is in the environment
    run(["buf", "generate"], source, {"PATH": path})
    run(["go", "build", "-o", program, "."], source, {"GOFLAGS": "-mod=readonly -buildvcs=false"})
    return (program,)


def java() -> Command:
    """Stubs and classes; the libraries stay where Maven keeps them. The JVM is a server's as it comes, with no options."""
    made = BUILT / "java"  # as its pom.xml says
    run(["mvn", "-q", "-B", "compile"], SOURCES / "java")
    libraries = (made / "libraries").read_text().strip()
    return found("java"), "-cp", f"{made / 'classes'}{os.pathsep}{libraries}", "dev.example.fanout.Floor"


def node() -> Command:
    """Nothing is generated: the program reads the protos. It lies beside its libraries, where Node looks for them."""
    made = BUILT / "node"
    made.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", ".npmrc", "floor.js"):
        shutil.copy(SOURCES / "node" / name, made)
    run(["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--silent"], made)
    return found("node"), made / "floor.js", ROOT / "protos"


@dataclass(frozen=True, slots=True)
class Foreign:
    """A floor in another language.

    `needs`: the tools that build and run it. `jit`: its compiler works while the program runs, so that it has to be settled.
    """

    name: str
    needs: tuple[str, ...]
    build: Callable[[], Command]
    jit: bool = False


GO: Final = Foreign("Go: errgroup", ("go",), go)
JAVA: Final = Foreign("Java: futures", ("java", "javac", "mvn"), java, jit=True)
NODE: Final = Foreign("Node: Promise.all", ("node", "npm"), node, jit=True)


def built() -> dict[Foreign, Command]:
    """Those that this machine has the tools for, as new as their sources; a word on stderr about the others.

    Raises CalledProcessError.
    """
    commands: dict[Foreign, Command] = {}
    for one in (GO, JAVA, NODE):
        if absent := ", ".join(tool for tool in one.needs if shutil.which(tool) is None):
            print(f"fanout: SKIPPED: {one.name}, since there is no {absent} on this machine", file=sys.stderr, flush=True)
        else:
            commands[one] = one.build()
    return commands

"""Builds the floor in Go: stubs from protos/ with the plugins that its go.mod pins, and one program in .tools/bin.

Built when the bench runs, and not kept: a binary in the tree would be of one machine, stubs in it a second copy of the protos.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from bench.kit.processes import ROOT

SOURCE: Final = ROOT / "bench" / "fanout" / "go"
PROGRAM: Final = ROOT / ".tools" / "bin" / "fanout-go"
FLAGS: Final = "-mod=readonly -buildvcs=false"


def built() -> Path | None:
    """The program, as new as its source; None, and a word on stderr, where there is no Go. Raises CalledProcessError."""
    if shutil.which("go") is None:
        print("fanout: SKIPPED: no Go on this machine, so there is nothing in Go to compare with", file=sys.stderr, flush=True)
        return None
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # buf is in the environment
    env = {**os.environ, "PATH": path, "GOFLAGS": FLAGS}
    for command in (["buf", "generate"], ["go", "build", "-o", str(PROGRAM), "."]):
        subprocess.run(command, cwd=SOURCE, env=env, check=True)
    return PROGRAM

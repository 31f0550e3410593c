"""Environments with another grpcio than the pinned one, made when first needed and kept in .venv-grpcio (ignored by git).

Only what `fanmesh.transport` imports is installed, from wheels. What cannot be made is an error: a test that were skipped then
would look like one that has passed.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
HOME: Final = ROOT / ".venv-grpcio"


def needed(version: str) -> list[str]:
    """What is installed. The companions have fewer patches; they may be older than grpcio and not newer."""
    minor = version.rpartition(".")[0]
    companions = (f"grpcio-{name}>={minor},<={version}" for name in ("health-checking", "reflection"))
    return [f"grpcio=={version}", *companions, "googleapis-common-protos>=1.66"]


def python_with(version: str) -> Path:
    """The interpreter of an environment with that grpcio. AssertionError, with pip's words, if it cannot be made."""
    home = HOME / version
    python, made, wanted = home / "bin" / "python", home / "made", "\n".join([sys.version, *needed(version)])
    HOME.mkdir(exist_ok=True)
    with (HOME / f"{version}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests may run in several processes
        if not made.exists() or made.read_text() != wanted:
            _run(sys.executable, "-m", "venv", "--clear", str(home))
            quiet = ("--quiet", "--disable-pip-version-check", "--no-compile", "--only-binary", ":all:")
            _run(str(python), "-m", "pip", "install", *quiet, *needed(version))
            made.write_text(wanted)
    return python


def output_of(version: str, module: str) -> str:
    """What `python -m module` prints under that grpcio, run from the root of the tree. AssertionError if it fails."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "GRPC_"))}
    return _run(str(python_with(version)), "-m", module, environment={**inherited, "GRPC_VERBOSITY": "NONE"})


def _run(*command: str, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=300)
    if done.returncode:
        raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout

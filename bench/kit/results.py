"""Results as JSON: the figures, and what one must know of the machine and the versions to compare them with others."""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "results"
DRAWN = Path(__file__).parents[2] / "docs" / "bench"
MATTERS = ("grpcio", "protobuf", "uvloop", "orjson", "opentelemetry-sdk")


def machine() -> dict[str, Any]:
    """Interpreter, libraries, processor count. No names and no paths."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "versions": {name: version(name) for name in MATTERS},
    }


def write(name: str, figures: object) -> Path:
    """Keep the figures of one bench under its name."""
    target = RESULTS / f"{name}.json"
    target.write_text(json.dumps({"machine": machine(), "figures": figures}, indent=1) + "\n")
    return target


def read(name: str) -> Any:
    """The figures that were kept last."""
    return _kept(name)["figures"]


def machine_of(name: str) -> Any:
    """Where they were measured."""
    return _kept(name)["machine"]


def _kept(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text())

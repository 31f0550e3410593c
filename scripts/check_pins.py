"""Check that constraints.txt pins everything that is installed, at the version that is installed, and by nothing but a version.

pip's constraints bind only what they name: a new dependency of a dependency would be installed in whatever version is the
newest that day, and nobody would see it. So the environment is compared with the file after every installation.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([A-Za-z0-9.!+]+)\Z")
OURS = frozenset({"fanmesh", "pip", "setuptools"})  # the project itself, and what a new environment of Python 3.11 brings along


def normal(name: str) -> str:
    """A project's name in the one spelling that all its spellings mean."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(text: str) -> tuple[dict[str, str], list[str]]:
    """Version by name in the text of constraints.txt, and what is wrong with its lines."""
    found: dict[str, str] = {}
    wrong: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        pin = PIN.match(line)
        if pin is None:
            wrong.append(f"constraints.txt:{number} {line!r} is not name==version")
        elif normal(pin[1]) <= max(found, default=""):
            wrong.append(f"constraints.txt:{number} {pin[1]} is not in order, or named twice")
        else:
            found[normal(pin[1])] = pin[2]
    return found, wrong


def strays(installed: dict[str, str], pinned: dict[str, str]) -> list[str]:
    """What is installed otherwise than pinned; `installed` is version by name, like `pinned`."""
    return [
        f"{name} {version} is installed; constraints.txt says {pinned.get(name, 'nothing about it')}"
        for name, version in sorted(installed.items())
        if name not in OURS and pinned.get(name) != version
    ]


def main() -> None:
    """Compare this interpreter's environment with the file."""
    pinned, wrong = pins((ROOT / "constraints.txt").read_text())
    installed = {normal(dist.name): dist.version for dist in distributions()}
    if wrong := wrong + strays(installed, pinned):
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()

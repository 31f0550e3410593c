"""Regenerate the Python stubs from protos/, or with --check fail if they differ.

The stubs are checked in, so that users need no compiler. They must be made by the grpcio-tools of the lowest supported
grpcio: newer generators write code that older runtimes refuse to import.
"""

from __future__ import annotations

import sys
import tempfile
from importlib import resources
from importlib.metadata import version
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
GENERATOR = "1.76.0"  # of grpcio-tools: the lowest supported grpcio, see docs/decisions/0001
STRANGERS = ("sample_workers/thesaurus/thesaurus.proto",)  # of services that have nothing to do with Fanmesh


def generate(target: Path) -> list[Path]:
    """Write the stubs of every file in protos/fanmesh, and of STRANGERS, below `target`; their paths relative to it."""
    protos = sorted(str(p.relative_to(ROOT / "protos")) for p in (ROOT / "protos" / "fanmesh").rglob("*.proto"))
    written = _compile(target, ROOT / "protos", protos, "fanmesh")
    for file in STRANGERS:
        written += _compile(target, ROOT, [file], str(Path(file).parent))
    return written


def _compile(target: Path, root: Path, protos: list[str], folder: str) -> list[Path]:
    bundled = str(resources.files("grpc_tools") / "_proto")
    outs = [f"--{kind}_out={target}" for kind in ("python", "pyi", "grpc_python")]
    if protoc.main(["protoc", f"-I{root}", f"-I{bundled}", *outs, *protos]) != 0:
        sys.exit("protoc failed")
    return sorted(p.relative_to(target) for p in (target / folder).rglob("*_pb2*.py*") if "__pycache__" not in p.parts)


def main() -> None:
    """Generate in place, or compare with what is checked in."""
    if version("grpcio-tools") != GENERATOR:
        sys.exit(f"grpcio-tools {version('grpcio-tools')} is installed; the stubs are made with {GENERATOR}")
    if "--check" not in sys.argv:
        print(f"{len(generate(ROOT))} files written by grpcio-tools {GENERATOR}")
        return
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch)
        stale = [p for p in generate(fresh) if not (ROOT / p).exists() or (ROOT / p).read_bytes() != (fresh / p).read_bytes()]
    if stale:
        sys.exit("stale, run `make protos`: " + ", ".join(map(str, stale)))
    print("the checked-in stubs are what the generator makes")


if __name__ == "__main__":
    main()

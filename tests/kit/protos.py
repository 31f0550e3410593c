"""Protobuf files compiled when a test runs: descriptors, and stubs as their owner would make them."""

from __future__ import annotations

import importlib
import sys
from functools import lru_cache
from importlib import resources
from pathlib import Path
from tempfile import mkdtemp
from types import ModuleType
from typing import Final

from grpc_tools import protoc

from tests.kit.programs import ROOT

SHOP: Final = ROOT / "examples" / "foreign" / "shop.proto"
BUNDLED: Final = str(resources.files("grpc_tools") / "_proto")


@lru_cache
def descriptors(text: str, name: str = "a.proto", *, imports: bool = True) -> bytes:
    """The serialised FileDescriptorSet of a proto."""
    home = Path(mkdtemp(prefix="fanmesh-protos-"))
    (home / name).write_text(text)
    out = home / "out.binpb"
    wanted = ["--include_imports"] if imports else []
    code = protoc.main(["protoc", f"-I{home}", f"-I{BUNDLED}", *wanted, f"--descriptor_set_out={out}", name])
    assert code == 0, text
    return out.read_bytes()


@lru_cache
def stubs(file: Path) -> tuple[ModuleType, ModuleType]:
    """The generated modules of a proto: messages and services."""
    home = mkdtemp(prefix="fanmesh-stubs-")
    outs = [f"--python_out={home}", f"--grpc_python_out={home}"]
    code = protoc.main(["protoc", f"-I{file.parent}", f"-I{BUNDLED}", *outs, str(file)])
    assert code == 0, file
    sys.path.append(home)
    return importlib.import_module(f"{file.stem}_pb2"), importlib.import_module(f"{file.stem}_pb2_grpc")

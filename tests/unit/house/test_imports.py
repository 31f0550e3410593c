"""The import contracts of pyproject.toml bite.

A contract that was misspelt, or whose module has moved, is kept for ever. So each one is broken on purpose, in a copy of the
tree, and has to name the culprit. All at once, because starting the linter costs more than checking.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final, NamedTuple

import pytest

ROOT: Final = Path(__file__).resolve().parents[3]
PACKAGES: Final = ("fanmesh", "dispatcher", "aggregator", "sample_workers")
CONTRACTS: Final = tuple(
    contract["name"] for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
)


class Sin(NamedTuple):
    """An import that must not be: `line` in `file` breaks the contract whose name begins with `contract`."""

    contract: str
    file: str
    line: str
    culprit: str


SINS: Final = (
    Sin("dispatcher: __main__", "dispatcher/flow/sin_up.py", "import dispatcher.wire.faults", "dispatcher.flow.sin_up"),
    Sin("dispatcher: __main__", "dispatcher/sin_new_place.py", "", "dispatcher.sin_new_place"),
    Sin("dispatcher.config: dispatcher", "dispatcher/config/sin_payload.py", "import fanmesh.payload", "sin_payload"),
    Sin("dispatcher.config: read", "dispatcher/wire/sin_config.py", "import dispatcher.config.load", "sin_config"),
    Sin("aggregator: __main__", "aggregator/engine/sin_up.py", "import aggregator.wire", "aggregator.engine.sin_up"),
    Sin("aggregator.engine: fanmesh.model", "aggregator/engine/sin_expr.py", "import fanmesh.expr", "sin_expr"),
    Sin("dispatcher.model and policies", "dispatcher/policies/sin_structs.py", "import fanmesh.structs", "sin_structs"),
    Sin("fanmesh.model imports nothing", "fanmesh/model/sin_payload.py", "import fanmesh.payload", "fanmesh.model.sin_payload"),
    Sin("the rules do no I/O", "dispatcher/policies/sin_clock.py", "import time", "dispatcher.policies.sin_clock"),
    Sin("the rules do no I/O", "aggregator/engine/sin_loop.py", "import asyncio", "aggregator.engine.sin_loop"),
    Sin("stack, flow, layers", "dispatcher/layers/sin_runtime.py", "import fanmesh.runtime.clock", "sin_runtime"),
    Sin("fanmesh.transport and runtime", "fanmesh/sin_transport.py", "import fanmesh.transport.port", "fanmesh.sin_transport"),
    Sin("grpc: fanmesh.transport only", "dispatcher/wire/sin_grpc.py", "import grpc.aio", "dispatcher.wire.sin_grpc"),
    Sin(
        "protobuf and the stubs", "dispatcher/flow/sin_stub.py", "from fanmesh.v1 import worker_pb2", "dispatcher.flow.sin_stub"
    ),
    Sin("OpenTelemetry's API", "dispatcher/layers/sin_span.py", "import opentelemetry.trace", "dispatcher.layers.sin_span"),
    Sin("OpenTelemetry's SDK", "fanmesh/runtime/sin_sdk.py", "import opentelemetry.sdk.trace", "fanmesh.runtime.sin_sdk"),
    Sin("pydantic", "dispatcher/model/sin_pydantic.py", "import pydantic", "dispatcher.model.sin_pydantic"),
    Sin("CEL", "dispatcher/config/sin_cel.py", "import cel_expr_python", "dispatcher.config.sin_cel"),
    Sin("the services import", "dispatcher/wire/sin_fold.py", "import aggregator.engine.fold", "dispatcher.wire.sin_fold"),
    Sin("the services import", "aggregator/sin_plan.py", "import dispatcher.model.plan", "aggregator.sin_plan"),
    Sin("sample_workers", "sample_workers/sin_plan.py", "import dispatcher.model.plan", "sample_workers.sin_plan"),
    Sin("fanmesh never imports", "fanmesh/sin_plan.py", "import dispatcher.model.plan", "fanmesh.sin_plan"),
    Sin("ngh2", "fanmesh/workers/sin_ngh2.py", "import ngh2", "fanmesh.workers.sin_ngh2"),
    Sin("submodules of fanmesh", "dispatcher/model/sin_root.py", "import fanmesh", "dispatcher.model.sin_root"),
    Sin("nothing is built", "dispatcher/wire/sin_lab.py", "import fanmesh.testing.loop", "dispatcher.wire.sin_lab"),
)


def lint(tree: Path) -> str:
    """What the linter says about the packages in `tree`, by the contracts of this project."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()"]
    done = subprocess.run(
        [*command, "--config", str(ROOT / "pyproject.toml"), "--no-cache"],
        cwd=tree,
        env={"PYTHONPATH": str(tree), "COLUMNS": "400", "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def confession(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the linter says of a tree with every sin in it, by the contract that is broken."""
    tree = tmp_path_factory.mktemp("sinful")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tree / package, ignore=lambda folder, names: _not_code(Path(folder), names))
    for sin in SINS:
        (tree / sin.file).write_text(sin.line + "\n")
    said = lint(tree).partition("Broken contracts")[2]
    parts = re.split(r"^(.+)\n-+$", said, flags=re.MULTILINE)
    return {name.strip(): text for name, text in zip(parts[1::2], parts[2::2], strict=True)}


def _not_code(folder: Path, names: list[str]) -> set[str]:
    return {name for name in names if not (name.endswith(".py") or (folder / name).is_dir()) or name == "__pycache__"}


def test_this_tree_keeps_every_contract() -> None:
    """The project imports as it says it does."""
    said = lint(ROOT)
    assert f"Contracts: {len(CONTRACTS)} kept, 0 broken" in said, said


@pytest.mark.slow
@pytest.mark.parametrize("sin", SINS, ids=lambda sin: sin.file)
def test_a_forbidden_import_breaks_its_contract(confession: dict[str, str], sin: Sin) -> None:
    """One forbidden import is enough, and the linter names the module that has it."""
    broken = [text for name, text in confession.items() if name.startswith(sin.contract)]
    assert len(broken) == 1, sorted(confession)
    assert sin.culprit in broken[0]


def test_every_contract_is_tried() -> None:
    """No contract is without a sin that breaks it."""
    assert [name for name in CONTRACTS if not any(name.startswith(sin.contract) for sin in SINS)] == []

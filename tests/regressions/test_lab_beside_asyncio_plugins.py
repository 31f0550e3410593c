"""The `lab` fixture works where an asyncio plugin has taken every coroutine test for itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CONFIG = 'version: 1\nworkers: {geo: {target: "h:1", effect: read}}\nplans: {p: {branches: {geo: {}}}}\n'
TEST = """
from fanmesh.testing import ends

async def test_it(lab):
    lab.worker("geo").plays(ends({"a": 1}))
    assert (await lab.dispatch("p", {})).complete

async def test_a_worker_without_a_script_fails_the_test(lab):
    try:
        await lab.dispatch("p", {})
    except AssertionError as error:
        assert "geo has no script" in str(error)
    else:
        raise RuntimeError

def test_without_a_loop(lab):
    try:
        lab.worker("geo")
    except RuntimeError as error:
        assert "async def" in str(error)
    else:
        raise AssertionError
"""


@pytest.mark.parametrize("mode", ["auto", "strict"])
def test_a_lab_in_either_mode(tmp_path: Path, mode: str) -> None:
    """A project of its own, with its own fanmesh.yaml."""
    (tmp_path / "fanmesh.yaml").write_text(CONFIG)
    (tmp_path / "test_plan.py").write_text(TEST)
    (tmp_path / "pytest.ini").write_text(f"[pytest]\nasyncio_mode = {mode}\nasyncio_default_fixture_loop_scope = function\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout

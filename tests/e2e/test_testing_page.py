"""docs/testing.md and the test in the README: a project of its own is made of their blocks, and its tests pass."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import fanmesh.testing
from tests.kit.commands import WITHIN

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = (ROOT / "docs" / "testing.md").read_text()
README: Final = (ROOT / "README.md").read_text()


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def outcome(directory: Path, *sources: str) -> str:
    """What pytest says in a project of these files, whose plan is that of the page."""
    (directory / "fanmesh.yaml").write_text(blocks(PAGE, "yaml")[0])
    for number, source in enumerate(sources):
        (directory / f"test_block_{number}.py").write_text(source)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=directory, capture_output=True, text=True, timeout=WITHIN, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_block_of_the_page_runs_as_it_stands(tmp_path: Path) -> None:
    """Tests pass, and the program without pytest has run when it is imported."""
    python = blocks(PAGE, "python")
    tests = sum(block.count("async def test_") for block in python)
    assert f"{tests} passed" in outcome(tmp_path, *python)


def test_the_test_in_the_readme_can_be_copied(tmp_path: Path) -> None:
    """With its imports, and beside the plan that the page shows."""
    (block,) = [block for block in blocks(README, "python") if "async def test_" in block]
    assert "1 passed" in outcome(tmp_path, block)
    assert "(docs/testing.md)" in README.split(block)[0].split("\n\n")[-2]


def test_another_file_is_named_in_the_configuration_of_pytest(tmp_path: Path) -> None:
    """Relative to the root, as the page shows it."""
    (ini,) = blocks(PAGE, "ini")
    (tmp_path / "pytest.ini").write_text(ini)
    (tmp_path / "conf").mkdir()
    other = blocks(PAGE, "yaml")[0].replace("enrich_contact", "other")
    (tmp_path / "conf" / "plans.yaml").write_text(other)
    source = 'async def test_it(lab):\n    assert list(lab.config.catalogue.plans) == ["other"]\n'
    assert "1 passed" in outcome(tmp_path, source)


def test_the_page_names_all_that_can_be_imported() -> None:
    """But for the types of what is returned, which nobody has to make."""
    returned = {"FakeWorker", "LabResult", "Script", "VirtualClock", "VirtualLoop"}
    assert {name for name in fanmesh.testing.__all__ if not re.search(rf"\b{name}\b", PAGE)} <= returned

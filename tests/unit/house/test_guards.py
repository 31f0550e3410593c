"""The scripts behind `make house` find what they are there to find."""

from __future__ import annotations

import runpy
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[3]
PINS: Final = runpy.run_path(str(ROOT / "scripts" / "check_pins.py"))
HOUSE: Final = runpy.run_path(str(ROOT / "scripts" / "check_house.py"))

SLIPS: Final = (
    ("a.py", "x = 1  # TO" + "DO: finish"),
    ("a.py", "raise NotImplemented" + "Error"),
    ("tests/unit/test_a.py", "from unittest import mo" + "ck"),
    ("pip.conf", "https://py" + "pi.org/simple"),
    ("notes.md", "see /ho" + "me/ada/fanmesh"),
)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """An empty repository."""
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    return tmp_path


def guards(repository: Path) -> list[str]:
    """What all guards find there."""
    found: Any = HOUSE["found"]
    found.__globals__["ROOT"] = repository
    return [line for guard in HOUSE["GUARDS"] for line in found(guard)]


@pytest.mark.parametrize(("name", "text"), SLIPS)
def test_a_slip_is_found_before_it_is_committed(repository: Path, name: str, text: str) -> None:
    """A file that git does not know yet is looked at."""
    (repository / name).parent.mkdir(parents=True, exist_ok=True)
    (repository / name).write_text(text + "\n")
    assert [line.partition(":")[0] for line in guards(repository)] == [name]


def test_a_clean_file_passes(repository: Path) -> None:
    """The guards do not see slips where there are none."""
    (repository / "a.py").write_text("mocking = 'todo lists, /usr/bin/python3 and https://example.org/home/'\n")
    assert guards(repository) == []


def test_the_pins_of_this_project_are_pins() -> None:
    """constraints.txt is sorted and holds nothing but name==version."""
    pinned, wrong = PINS["pins"]((ROOT / "constraints.txt").read_text())
    assert wrong == []
    assert pinned["grpcio"] == "1.76.0"


@pytest.mark.parametrize(
    "line", ["grpcio>=1.78", "grpcio @ https://example.org/grpcio.whl", "-e .", "--index-url x", "a==1\na==1"]
)
def test_what_is_no_pin_is_refused(line: str) -> None:
    """A range, an address, an option or a second pin of one name is no pin."""
    assert len(PINS["pins"](line)[1]) == 1


def test_what_is_installed_and_not_pinned_is_named() -> None:
    """Neither another version nor an unknown package passes; the project itself and pip are not judged."""
    found = PINS["strays"]({"rich": "14.0", "stray": "1", "fanmesh": "0.1.0", "pip": "1"}, {"rich": "15.0"})
    assert [line.split()[0] for line in found] == ["rich", "stray"]

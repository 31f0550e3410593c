"""What the documents tell a reader to type is typed here, as it stands."""

from __future__ import annotations

import re
import shlex
import socket
import subprocess
from pathlib import Path

import pytest

from dispatcher.assembly import MERGES
from dispatcher.config import load_text
from tests.kit.commands import FANMESH, WITHIN, running

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(text: str, language: str = "") -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


CONFIGURATIONS = [
    pytest.param(block, id=f"{path.name}-{number}")
    for path in DOCUMENTS
    for number, block in enumerate(blocks(path.read_text(), "yaml"))
    if "version:" in block
]


@pytest.mark.parametrize("block", CONFIGURATIONS)
def test_a_configuration_in_the_documents_loads(block: str) -> None:
    """Every whole YAML block is one that a reader can copy."""
    assert load_text(block, filename="block.yaml", merges=MERGES).catalogue.plans


def skeleton(drawn: str) -> list[str]:
    """A waterfall without what differs from run to run: times, bars, and the axis."""
    lines = [line for line in drawn.splitlines() if "╷" not in line]
    return [" ".join(re.sub(r"[\u2580-\u259f┤]+|[\d.]+ ms", " ", line).split()) for line in lines]


def test_the_quick_start_typed_exactly(tmp_path: Path) -> None:
    """`init`, `cd`, `dev` in one terminal and `call` in another: partial, as the README shows."""
    for port in (50050, 50051, 50052, 9464):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                pytest.skip(f"port {port} is taken on this machine")
    section = README.split("## Quick start")[1].split("\n## ")[0]
    first, second = blocks(section)[:2]
    lines = [line for line in first.splitlines() if line.startswith("fanmesh")]
    begin, develop = lines
    assert begin == "fanmesh init hello && cd hello"
    assert develop == "fanmesh dev"
    path = f"export PATH={shlex.quote(str(Path(FANMESH).parent))}:$PATH; "
    subprocess.run(["bash", "-c", path + begin], cwd=tmp_path, check=True, timeout=WITHIN, capture_output=True)
    call = next(line.removeprefix("$ ") for line in second.splitlines() if line.startswith("$ "))
    with running("dev", cwd=tmp_path / "hello") as program:
        program.until("Ctrl-C ends everything")
        shown = subprocess.run(
            ["bash", "-c", path + call], cwd=tmp_path, check=False, timeout=WITHIN, capture_output=True, text=True
        )
    assert shown.returncode == 3, shown.stderr
    assert skeleton(shown.stdout) == skeleton(second.split("\n", 1)[1])

"""`make demo`: it shows what is true, it finds what is not, and nothing is left of it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from sample_workers.demo.main import conclude
from sample_workers.demo.scenes import SCENES
from sample_workers.demo.stage import Stage
from tests.kit.waiting import until

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "sample_workers.demo"]
WITHIN = 240
SHOWN = [
    r"breakers that opened, after 5 failures in a row each: 2",
    r"calls sent to tax_id for requests 1 to \d+, retries included: 10",
    r"calls sent for requests \d+ to 200: \d+, to see whether it is well again",
    r"partial answers, with tax_id's default in each: 200",
    r"a breaker closed: .* after its replica served again",
    r"whole answers, of the next 50: 50",
    r"p99, less than half of what it was: .*",
    r"calls that hedges added, at most 5 %: .*",
    r"with one, at most \d+ are sent: 3\d\d, 1\.[12]\d for each call",
    r"the replicas counted: 3\d\d",
    r"replicas that were restarted: 3",
    r"failed calls, of \d+: 0",
    r"it was asked about the country that ip said: PL, National Independence Day",
    r"place is asked where phone is not sure, and only there: \d+ of \d+ contacts",
    r"the fusion has: HP:0002979 Bowing of the legs",
    r"coverage, by weight: 0\.66",
    r"with it, the first is: HP:0000613 Photophobia",
]
"""What the claims about policies, and about search, come down to."""
LIAR = """
from types import SimpleNamespace

class GeoIP2Fast:
    def __init__(self, **_):
        pass

    def lookup(self, address):
        return SimpleNamespace(country_code="AQ", cidr="0.0.0.0/0", asn_name="Penguin")
"""


def surroundings(tmp_path: Path, **more: str) -> Mapping[str, str]:
    """An environment by which the demo and all its children can be told from other processes."""
    return {**os.environ, "TMPDIR": str(tmp_path), **more}


def left(tmp_path: Path) -> list[int]:
    """The processes that still run with that environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"TMPDIR={tmp_path}".encode() in (process / "environ").read_bytes().split(b"\0"):
                found.append(int(process.name))
        except OSError:
            continue
    return found


@pytest.mark.slow
def test_every_claim_holds(tmp_path: Path) -> None:
    """The demo's exit code is 0, each claim has its mark, no line is wider than the page, and nothing is left behind."""
    run = subprocess.run(
        COMMAND, cwd=ROOT, env=surroundings(tmp_path), capture_output=True, text=True, timeout=WITHIN, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    for number, scene in SCENES.items():
        assert f"✓ {number} {scene.title}" in run.stdout.splitlines()
    assert f"{len(SCENES)} of {len(SCENES)} claims held" in run.stdout
    assert (
        re.findall(r"^(?: {3})?✗ .*", run.stdout, re.MULTILINE) == []
    )  # deeper in, a failed branch of a waterfall has that mark
    for line in SHOWN:
        assert re.search(rf"^   ✓ {line}$", run.stdout, re.MULTILINE), line
    assert max(map(len, run.stdout.splitlines())) <= 100
    assert "\x1b" not in run.stdout
    assert left(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_claim_that_is_not_true_is_found(tmp_path: Path) -> None:
    """A worker that answers well-formed nonsense makes claim 1 fail by name, and the exit code 1."""
    library = tmp_path / "lib" / "geoip2fast"
    library.mkdir(parents=True)
    (library / "__init__.py").write_text(LIAR)
    run = subprocess.run(
        [*COMMAND, "--only", "1"],
        cwd=ROOT,
        env=surroundings(tmp_path, PYTHONPATH=str(library.parent)),
        capture_output=True,
        text=True,
        timeout=WITHIN,
        check=False,
    )
    assert run.returncode == 1, run.stdout + run.stderr
    assert "✗ conflicts of c01, which is sound: country: " in run.stdout
    assert "✗ 1 everyone answers" in run.stdout
    assert left(tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -9)])
def test_no_process_outlives_it(tmp_path: Path, number: signal.Signals, code: int) -> None:
    """However it is ended while workers run, all of them end with it; if it can, it says how by its exit code."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored here, as in the background of a shell, is ignored there
    with subprocess.Popen(COMMAND, cwd=ROOT, env=surroundings(tmp_path), stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        assert any("ready in" in line for line in demo.stdout)
        assert len(left(tmp_path)) > 8
        demo.send_signal(number)
        demo.stdout.read()
        assert demo.wait(60) == code
    until(lambda: left(tmp_path) == [], "all processes to end")


@pytest.mark.slow
def test_a_process_that_does_not_start_is_explained(tmp_path: Path) -> None:
    """A worker that cannot be imported ends the demo with exit code 1 and the reason, not with a timeout."""
    library = tmp_path / "lib" / "geoip2fast"
    library.mkdir(parents=True)
    (library / "__init__.py").write_text("raise RuntimeError('table torn')")
    env = surroundings(tmp_path, PYTHONPATH=str(library.parent))
    run = subprocess.run(COMMAND, cwd=ROOT, env=env, capture_output=True, text=True, timeout=WITHIN, check=False)
    assert run.returncode == 1
    assert "does not serve" in run.stderr
    assert "table torn" in run.stderr
    assert left(tmp_path) == []


def test_a_claim_holds_only_if_all_was_checked_and_true(capsys: pytest.CaptureFixture[str]) -> None:
    """One false check among true ones is enough, and so is no check at all; the exit code and the text say so."""
    stage = Stage()
    stage.begin(1, "water is wet", "")
    stage.same("wet", seen=True, expected=True)
    assert conclude(stage, 7, 1, 0) == 0
    stage.same("degrees", 20, 10)
    assert conclude(stage, 7, 1, 0) == 1
    assert "✗ degrees: 20, expected 10" in capsys.readouterr().out
    stage = Stage()
    stage.begin(1, "nothing is checked", "")
    assert conclude(stage, 7, 1, 0) == 1


def test_a_claim_that_was_not_shown_does_not_hold() -> None:
    """A show that broke off has not held what it left out."""
    stage = Stage(silent=True)
    stage.begin(1, "shown", "")
    stage.same("it", 1, 1)
    assert conclude(stage, 7, 2, 0) == 1


def test_numbers_that_are_no_claims_are_a_usage_error() -> None:
    """A number too high starts nothing and ends with 2."""
    run = subprocess.run(
        [*COMMAND, "--only", f"2,{len(SCENES) + 1}"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 2
    assert f"there are 1 to {len(SCENES)}" in run.stderr

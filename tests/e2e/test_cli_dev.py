"""`fanmesh dev`: starting, following files, and ending without a trace."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from fanmesh.client import Client
from fanmesh.model.states import BranchReason
from fanmesh.result import DispatchFailed
from tests.kit.commands import ADA, dev, free_ports, gone, project

pytestmark = pytest.mark.slow


def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    """SIGINT ends dispatcher and workers in order, with exit code 0."""
    with dev(project(tmp_path / "p")) as made:
        assert len(made.pids) == 3
        assert made.program.end() == 0
        assert all(gone(pid) for pid in made.pids)


def test_a_killed_parent_leaves_nothing(tmp_path: Path) -> None:
    """Even SIGKILL, which cannot be answered, leaves no worker behind."""
    with dev(project(tmp_path / "p")) as made:
        made.program.end(signal.SIGKILL)
        assert all(gone(pid) for pid in made.pids)


def test_saving_reloads(tmp_path: Path) -> None:
    """A broken configuration changes nothing and says why, a good one is taken over, and a worker's new code answers."""
    with dev(project(tmp_path / "p")) as made:
        file = made.directory / "fanmesh.yaml"
        good = file.read_text()
        file.write_text(good.replace("soft_timeout: 200ms", "soft_timeout: 200"))
        made.program.until("nothing is changed")
        assert any("200 has no unit" in line for line in made.program.seen)
        assert made.call("only", "-d", ADA).returncode == 0

        file.write_text(good.replace("  only:", "  another: {branches: {hello: {}}}\n  only:"))
        made.program.until("reloaded")
        assert made.call("another", "-d", ADA).returncode == 0

        code = made.directory / "hello.py"
        code.write_text(code.read_text().replace('f"Hi ', 'f"Hello '))
        made.program.until("restarting")
        made.becomes(lambda client: client.dispatch("only", {"name": "Ada"}).value == {"hello": {"text": "Hello Ada"}})
        assert made.program.end() == 0


def test_workers_misbehave_when_asked(tmp_path: Path) -> None:
    """`--behaviour` reaches the worker that it names, and no other."""
    with dev(project(tmp_path / "p"), "--no-watch", "--behaviour", "hello:fail=DATA_LOSS", "--seed", "7") as made:
        done = made.call("greet", "-d", ADA)
        assert done.returncode == 1
        assert "DATA_LOSS" in done.stdout


def test_dev_runs_the_aggregator_that_the_configuration_names(tmp_path: Path) -> None:
    """One more process, and reports say that it merged."""
    (port,) = free_ports(1)
    with dev(project(tmp_path / "p", f', aggregator: "127.0.0.1:{port}"'), "--no-watch") as made:
        assert ["(aggregator)"] in [process["runs"] for process in made.told["processes"]]
        assert "aggregator REMOTE" in made.call("only", "-d", ADA).stdout
        assert made.program.end() == 0
        assert all(gone(pid) for pid in made.pids)


def test_a_worker_that_cannot_start_waits_for_its_source(tmp_path: Path) -> None:
    """The error and its place are shown, everything else runs, and saving a corrected file starts the worker."""
    directory = project(tmp_path / "p")
    code = directory / "hello.py"
    good = code.read_text()
    code.write_text(f"{good}\n1 / 0\n")
    with dev(directory) as made:
        assert all(process["state"] for process in made.told["processes"])
        code.write_text(good)
        made.program.until("again ready")
        assert any("ZeroDivisionError" in line for line in made.program.seen)
        assert made.call("only", "-d", ADA).returncode == 0
        assert made.program.end() == 0


def failure(client: Client) -> BranchReason:
    """Why the only branch of the plan has no answer."""
    with pytest.raises(DispatchFailed) as failed:
        client.dispatch("only", {"name": "Ada"})
    assert failed.value.report is not None
    return failed.value.report["hello"].reason


def test_what_failed_before_is_not_held_against_a_worker_that_runs_anew(tmp_path: Path) -> None:
    """Its breaker was open and its connection backed off; "again ready" is said when the next call is answered."""
    directory = project(tmp_path / "p")
    code = directory / "hello.py"
    good = code.read_text()
    with dev(directory) as made:
        code.write_text(f"{good}\n1 / 0\n")
        made.program.until("ZeroDivisionError")
        with Client(made.server) as client:  # three times open, each time for twice as long
            for _ in range(3):
                for reason in (BranchReason.WORKER_ERROR, BranchReason.BREAKER_OPEN):
                    while failure(client) is not reason:
                        pass
        code.write_text(good)
        made.program.until("again ready")
        assert made.call("only", "-d", ADA).returncode == 0
        assert made.program.end() == 0

"""The command line on real processes: what a newcomer types, and what is left when it ends."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.commands import ADA, CONFIG, FANMESH, WITHIN, Dev, dev, fanmesh, project, running

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def hello(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    """One running project for all tests that only ask."""
    with dev(project(tmp_path_factory.mktemp("cli") / "hello"), "--no-watch") as made:
        yield made


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["only", "-d", ADA], 0),
        (["greet", "-d", ADA], 3),
        (["greet", "-d", "{}"], 1),
        (["greet", "-d", ADA, "--timeout", "1ms"], 1),
        (["nobody", "-d", ADA], 1),
        (["greet", "-d", "{"], 2),
    ],
)
def test_exit_codes(hello: Dev, words: list[str], code: int) -> None:
    """0 complete, 3 partial, 1 failed, 2 not understood; and in each case `-o json` prints one document that agrees."""
    assert hello.call(*words).returncode == code
    done = hello.call(*words, "-o", "json")
    assert done.returncode == code
    told = json.loads(done.stdout)
    assert ("error" in told) == (code in {1, 2})
    if code in {0, 3}:
        assert told["report"]["complete"] is (code == 0)
        assert told["result"]["hello"] == {"text": "Hi Ada"}


def test_a_failed_call_is_drawn_and_explained(hello: Dev) -> None:
    """The waterfall names the branch and its error, the status is in the header, and stderr says what to do."""
    done = hello.call("greet", "-d", "{}")
    assert done.stdout.startswith("FAILED  UNAVAILABLE COMPLETION_UNREACHABLE")
    assert "↳ INVALID_ARGUMENT: name: missing" in done.stdout
    assert "→" in done.stderr


def test_an_unknown_plan_is_named(hello: Dev) -> None:
    """The dispatcher's reason reaches the user, with the plans that there are."""
    done = hello.call("nobody", "-o", "json")
    assert json.loads(done.stdout)["error"]["reason"] == "PLAN_UNKNOWN"


def test_input_from_a_file_and_from_stdin(hello: Dev) -> None:
    """`-d @file` and `-d -` are the same as `-d JSON`."""
    (hello.directory / "in.json").write_text(ADA)
    assert '"Hi Ada"' in hello.call("only", "-d", "@in.json").stdout
    assert '"Hi Ada"' in hello.call("only", "-d", "-", stdin=ADA).stdout


@pytest.mark.parametrize("mode", ["snapshot", "branches"])
def test_a_stream_shows_what_happens(hello: Dev, mode: str) -> None:
    """Updates come before the reply, as lines and as JSON."""
    done = hello.call("greet", "-d", ADA, "--stream", mode)
    assert done.returncode == 3
    assert done.stdout.index("coverage 0.") < done.stdout.index("PARTIAL")
    told = json.loads(hello.call("greet", "-d", ADA, "--stream", mode, "-o", "json").stdout)
    assert told["events"]
    assert all(("snapshot" if mode == "snapshot" else "branch") in event for event in told["events"])
    assert told["result"]["hello"] == {"text": "Hi Ada"}


def test_repeat_counts(hello: Dev) -> None:
    """So many calls, quantiles that are ordered, codes and endings that add up, and the last picture."""
    done = hello.call("only", "-d", ADA, "--repeat", "20", "-o", "json")
    assert done.returncode == 0
    told = json.loads(done.stdout)
    assert told["codes"] == {"OK": 20}
    assert sum(told["completed_by"].values()) == 20
    latency = told["latency_ms"]
    assert latency["p50"] <= latency["p95"] <= latency["p99"] <= latency["max"]
    text = hello.call("only", "-d", ADA, "--repeat", "3").stdout
    assert text.startswith("OK ")
    assert "3 of 3" in text


def test_explain_from_both_sides(hello: Dev) -> None:
    """A dispatcher and its configuration explain a plan alike, in text that fits and in JSON."""
    served = fanmesh("explain", "greet", "--server", hello.server, "-o", "json", cwd=hello.directory)
    read = fanmesh("explain", "greet", "--config", "fanmesh.yaml", "-o", "json", cwd=hello.directory)
    assert (served.returncode, read.returncode) == (0, 0), served.stderr + read.stderr
    one, other = json.loads(served.stdout), json.loads(read.stdout)
    assert [node["branch"] for node in one["nodes"]] == ["hello", "slow"]
    # The file was edited by nobody; only `drain`, which `dev` shortens, is not part of the version.
    assert one == other
    text = fanmesh("explain", "greet", "--config", "fanmesh.yaml", cwd=hello.directory).stdout
    assert "T 1000 ms · stop 975 ms" in text
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize(("graph", "begins"), [("mermaid", "flowchart LR"), ("svg", "<svg ")])
def test_the_graph_alone(hello: Dev, graph: str, begins: str) -> None:
    """Nothing else is printed, so that it can be written to a file."""
    drawn = fanmesh("explain", "greet", "--config", "fanmesh.yaml", "--graph", graph, cwd=hello.directory)
    assert (drawn.returncode, drawn.stderr) == (0, "")
    assert drawn.stdout.startswith(begins)


def test_pipes_get_no_colour_and_terminals_do(hello: Dev) -> None:
    """Escape sequences only where a person looks and has not asked for none."""
    words = [FANMESH, "call", "only", "-d", ADA, "--server", hello.server]
    assert "\x1b" not in hello.call("only", "-d", ADA).stdout

    def on_a_terminal(**environment: str) -> str:
        ours, theirs = pty.openpty()
        base = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
        with subprocess.Popen(words, stdout=theirs, stderr=theirs, env={**base, "TERM": "xterm", **environment}) as process:
            os.close(theirs)
            text = b""
            try:
                while chunk := os.read(ours, 65536):
                    text += chunk
            except OSError:  # Linux ends a terminal like this
                pass
            process.wait(WITHIN)
        os.close(ours)
        return text.decode()

    assert "\x1b[32m" in on_a_terminal()
    plain = on_a_terminal(NO_COLOR="1")
    assert "●" in plain
    assert "\x1b" not in plain


def test_services_one_by_one(tmp_path: Path) -> None:
    """`worker`, `aggregate` and `serve` say where they listen, work together, and end with 0 on SIGTERM."""
    directory = project(tmp_path / "p")
    (directory / "fanmesh.yaml").unlink()
    with (
        running("worker", "hello:hello", "hello:slow", "-o", "json", cwd=directory) as worker,
        running("aggregate", "--listen", "127.0.0.1:0", "-o", "json", cwd=directory) as aggregator,
    ):
        port = worker.told()["listen"].rpartition(":")[2]
        target = aggregator.told()["listen"]
        (directory / "fanmesh.yaml").write_text(CONFIG.format(p1=port, p2=port, more=f', aggregator: "{target}"'))
        with running("serve", "fanmesh.yaml", "-o", "json", cwd=directory) as dispatcher:
            server = dispatcher.told()["listen"]
            done = fanmesh("call", "greet", "-d", ADA, "--server", server, cwd=directory)
            assert done.returncode == 3, done.stdout + done.stderr
            assert [program.end(signal.SIGTERM) for program in (dispatcher, aggregator, worker)] == [0, 0, 0]


def test_a_port_that_is_taken_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    """Both servers say which address, and end with 1."""
    directory = project(tmp_path / "p")
    with socket.create_server(("127.0.0.1", 0)) as held:
        taken = f"127.0.0.1:{held.getsockname()[1]}"
        for words in (["worker", "hello:hello"], ["aggregate"], ["serve", "fanmesh.yaml"]):
            done = fanmesh(*words, "--listen", taken, cwd=directory)
            assert done.returncode == 1, words
            assert taken in done.stderr
            assert "→" in done.stderr


def test_init_overwrites_nothing(tmp_path: Path) -> None:
    """The second time it is a usage error, and the files are as they were."""
    assert fanmesh("init", "p", cwd=tmp_path).returncode == 0
    (tmp_path / "p" / "hello.py").write_text("mine")
    assert fanmesh("init", "p", cwd=tmp_path).returncode == 2
    assert (tmp_path / "p" / "hello.py").read_text() == "mine"

"""The command line on real processes: what a newcomer types, and what is left when it ends."""

from __future__ import annotations

import json
import os
import pty
import queue
import re
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import IO, Any

import pytest

from dispatcher.config import ConfigErrors
from fanmesh.cli.loading import load
from fanmesh.client import Client
from fanmesh.result import DispatchFailed

pytestmark = pytest.mark.slow

FANMESH = str(Path(sys.executable).parent / "fanmesh")
ENRICHMENT = Path(__file__).parents[2] / "sample_workers" / "enrichment" / "fanmesh.yaml"
WITHIN = 60.0
"""Seconds that anything may take on a busy machine; nothing asserts how long it took."""

CONFIG = """\
version: 1
workers:
  hello: {{target: "localhost:{p1}", effect: read}}
  slow: {{target: "localhost:{p2}", effect: read}}
plans:
  greet: {{budget: {{latency: 1s}}, branches: {{hello: {{required: true}}, slow: {{soft_timeout: 200ms}}}}}}
  only: {{budget: {{latency: 20s}}, branches: {{hello: {{}}}}}}
server: {{listen: "127.0.0.1:0", metrics: null{more}}}
dev: {{hello: "hello:hello", slow: "hello:slow"}}
"""


def free_ports(count: int) -> list[int]:
    """Ports that nobody has now."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [each.getsockname()[1] for each in held]
    finally:
        for each in held:
            each.close()


def gone(pid: int) -> bool:
    """Wait until that process has ended; False if it will not."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], WITHIN)[0])
    finally:
        os.close(descriptor)


class Running:
    """A program that goes on, and what it has printed."""

    def __init__(self, arguments: list[str], cwd: Path) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([FANMESH, *arguments], cwd=cwd, stdout=pipe, stderr=pipe, text=True)
        self.seen: list[str] = []
        self._lines: queue.SimpleQueue[tuple[bool, str | None]] = queue.SimpleQueue()
        self._readers = [
            threading.Thread(target=self._read, args=(stream, is_stdout), daemon=True)
            for stream, is_stdout in ((self.process.stdout, True), (self.process.stderr, False))
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream: IO[str], is_stdout: bool) -> None:  # noqa: FBT001  (internal)
        with stream:
            for line in stream:
                self._lines.put((is_stdout, line.rstrip("\n")))
        self._lines.put((is_stdout, None))

    def until(self, what: str, *, on_stdout: bool = False) -> str:
        """The next line that contains `what`."""
        ends = 0
        limit = monotonic() + WITHIN
        while ends < len(self._readers):
            try:
                is_stdout, line = self._lines.get(timeout=max(0.0, limit - monotonic()))
            except queue.Empty:
                break
            if line is None:
                ends += 1
                continue
            self.seen.append(line)
            if what in line and (is_stdout or not on_stdout):
                return line
        pytest.fail(f"no line with {what!r} in:\n" + "\n".join(self.seen))

    def told(self) -> dict[str, Any]:
        """The JSON document that it printed when it was ready."""
        out: dict[str, Any] = json.loads(self.until("{", on_stdout=True))
        return out

    def end(self, number: int = signal.SIGINT) -> int:
        """Ask it to end; its exit code."""
        self.process.send_signal(number)
        return self.process.wait(WITHIN)


@contextmanager
def running(*arguments: str, cwd: Path) -> Iterator[Running]:
    """A program that is certainly gone afterwards."""
    program = Running(list(arguments), cwd)
    try:
        yield program
    finally:
        if program.process.poll() is None:
            program.process.send_signal(signal.SIGTERM)
            try:
                program.process.wait(WITHIN)
            except subprocess.TimeoutExpired:
                program.process.kill()
                program.process.wait()


def fanmesh(*arguments: str, cwd: Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """One command."""
    return subprocess.run(
        [FANMESH, *arguments], cwd=cwd, input=stdin, capture_output=True, text=True, timeout=WITHIN, check=False
    )


def project(directory: Path, more: str = "") -> Path:
    """What `init` writes, on ports of its own."""
    assert fanmesh("init", str(directory), cwd=directory.parent).returncode == 0
    p1, p2 = free_ports(2)
    (directory / "fanmesh.yaml").write_text(CONFIG.format(p1=p1, p2=p2, more=more))
    return directory


class Dev:
    """A project that runs."""

    def __init__(self, program: Running, directory: Path) -> None:
        self.program = program
        self.directory = directory
        self.told = program.told()
        self.server = self.told["dispatcher"]["listen"]

    @property
    def pids(self) -> list[int]:
        """All its processes."""
        return [self.told["dispatcher"]["pid"], *(process["pid"] for process in self.told["processes"])]

    def call(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """`fanmesh call … --server …`."""
        return fanmesh("call", *arguments, "--server", self.server, cwd=self.directory, stdin=stdin)

    def becomes(self, check: Callable[[Client], bool]) -> None:
        """Ask until it holds; each question is a real call, so this does not spin."""
        limit = monotonic() + WITHIN
        with Client(self.server) as client:
            while monotonic() < limit:
                try:
                    if check(client):
                        return
                except DispatchFailed:
                    continue
        pytest.fail("it never came to hold; the program said:\n" + "\n".join(self.program.seen))


@contextmanager
def dev(directory: Path, *arguments: str) -> Iterator[Dev]:
    """`fanmesh dev` in a project, ready."""
    with running("dev", "-o", "json", *arguments, cwd=directory) as program:
        yield Dev(program, directory)


@pytest.fixture(scope="module")
def hello(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    """One running project for all tests that only ask."""
    with dev(project(tmp_path_factory.mktemp("cli") / "hello"), "--no-watch") as made:
        yield made


ADA = '{"name":"Ada"}'


def test_the_quick_start_typed_exactly(tmp_path: Path) -> None:
    """Three commands on the default ports, and the answer that the documentation shows."""
    for port in (50050, 50051, 50052, 9464):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                pytest.skip(f"port {port} is taken on this machine")
    assert fanmesh("init", "hello", cwd=tmp_path).returncode == 0
    with running("dev", cwd=tmp_path / "hello") as program:
        program.until("Ctrl-C ends everything")
        done = fanmesh("call", "greet", "-d", ADA, cwd=tmp_path)
        assert done.returncode == 3, done.stderr
        header, _axis, first, second, *_, answer = done.stdout.splitlines()
        assert re.match(r"PARTIAL  \d+ ms  coverage 0\.50  by SOFT_TIMEOUT", header)
        assert re.match(r"  ● hello  .* ms  ok", first)
        assert re.match(r"  ◌ slow .* CANCELLED/SOFT_TIMEOUT", second)
        assert answer == '{"hello": {"text": "Hi Ada"}}'
        assert program.end() == 0


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
    assert json.loads(done.stdout)["reason"] == "PLAN_UNKNOWN"


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


def test_check_says_everything_with_its_place(tmp_path: Path) -> None:
    """All problems with line and caret, exit 1; a good file: what is in it, exit 0; both as JSON."""
    directory = project(tmp_path / "p")
    file = directory / "fanmesh.yaml"
    good = fanmesh("check", "fanmesh.yaml", cwd=directory)
    assert (good.returncode, good.stdout) == (0, "ok: 2 plans, 2 workers\n")
    file.write_text(file.read_text().replace("effect: read", "effect: raed").replace("latency: 1s", "latency: 1"))
    bad = fanmesh("check", "fanmesh.yaml", cwd=directory)
    assert bad.returncode == 1
    assert bad.stdout.endswith("not ok: 3 errors\n")
    lines = bad.stdout.splitlines()
    place = next(number for number, line in enumerate(lines) if "plans.greet.budget.latency" in line)
    source, caret = lines[place + 1], lines[place + 2]
    assert source[caret.index("^")] == "1"
    problems = json.loads(fanmesh("check", "fanmesh.yaml", "-o", "json", cwd=directory).stdout)["problems"]
    assert {problem["line"] for problem in problems} == {3, 4, 6}


def conforms(value: Any, schema: Any, definitions: dict[str, Any]) -> bool:
    """As much of JSON Schema as ours uses."""
    if schema is True or schema == {}:
        return True
    if "$ref" in schema:
        return conforms(value, definitions[schema["$ref"].rpartition("/")[2]], definitions)
    for word in ("anyOf", "oneOf"):
        if word in schema and not any(conforms(value, each, definitions) for each in schema[word]):
            return False
    if "const" in schema and value != schema["const"]:
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    kinds = {
        "object": dict,
        "array": list,
        "string": str,
        "integer": int,
        "number": (int, float),
        "boolean": bool,
        "null": type(None),
    }
    named = schema.get("type", list(kinds))
    if not any(isinstance(value, kinds[kind]) for kind in ([named] if isinstance(named, str) else named)):
        return False
    if isinstance(value, str) and "pattern" in schema and not re.search(schema["pattern"], value):
        return False
    if isinstance(value, list):
        return all(conforms(item, schema.get("items", True), definitions) for item in value)
    if isinstance(value, dict):
        return _fields_conform(value, schema, definitions)
    return True


def _fields_conform(value: dict[str, Any], schema: Any, definitions: dict[str, Any]) -> bool:
    known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for key, item in value.items():
        rules = [known[key]] if key in known else [rule for pattern, rule in patterns.items() if re.search(pattern, key)]
        rules = rules or [schema.get("additionalProperties", True)]
        if not all(rule is not False and conforms(item, rule, definitions) for rule in rules):
            return False
    return all(key in value for key in schema.get("required", ()))


def test_the_schema_accepts_what_the_product_accepts(tmp_path: Path) -> None:
    """The enrichment configuration conforms to the printed schema; with a key misspelt it does not, nor does it load."""
    from ruamel.yaml import YAML  # noqa: PLC0415  (only here)

    schema = json.loads(fanmesh("schema", cwd=tmp_path).stdout)
    text = ENRICHMENT.read_text()

    def read(source: str) -> Any:
        loader = YAML(typ="safe", pure=True)
        loader.version = (1, 2)  # type: ignore[assignment]  # a tuple is what it takes
        return loader.load(source)

    assert conforms(read(text), schema, schema["$defs"])
    for wrong in (text.replace("soft_timeout", "soft_timout"), text.replace("effect: read", "effect: reed")):
        assert not conforms(read(wrong), schema, schema["$defs"])
        (tmp_path / "wrong.yaml").write_text(wrong)
        with pytest.raises(ConfigErrors):
            load(tmp_path / "wrong.yaml")


def test_init_overwrites_nothing(tmp_path: Path) -> None:
    """The second time it is a usage error, and the files are as they were."""
    assert fanmesh("init", "p", cwd=tmp_path).returncode == 0
    (tmp_path / "p" / "hello.py").write_text("mine")
    assert fanmesh("init", "p", cwd=tmp_path).returncode == 2
    assert (tmp_path / "p" / "hello.py").read_text() == "mine"

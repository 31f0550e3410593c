"""The command line as a whole: verbs, endings, errors."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from fanmesh.cli.ends import Exit
from fanmesh.cli.main import complete, run, wants_json
from fanmesh.cli.verbs import VERBS


def test_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    """`fanmesh --help` lists all verbs and the exit codes, and ends well."""
    assert run(["--help"]) == Exit.OK
    out = capsys.readouterr().out
    assert all(verb in out for verb in VERBS)
    assert "3 partial" in out


def test_without_a_word_there_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    """`fanmesh` alone is the first thing that people type."""
    assert run([]) == Exit.OK
    out = capsys.readouterr().out
    assert all(verb in out for verb in VERBS)


@pytest.mark.parametrize("verb", ["worker", "aggregate", "serve"])
def test_a_variable_that_cannot_be_meant_is_an_error_in_a_line(
    verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It names the variable and what it may be, and is a mistake of usage."""
    monkeypatch.setenv("FANMESH_LOG_LEVEL", "loud")
    assert run([verb]) == Exit.USAGE
    err = capsys.readouterr().err
    assert err.startswith("fanmesh: environment variable FANMESH_LOG_LEVEL='loud': expected one of debug, info")
    assert len(err.splitlines()) == 2


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["worker", "hello:hello", "--listen", "localhost"], "--listen: localhost has no port"),
        (["aggregate", "--listen", "127.0.0.1:99999"], "--listen: 99999 is not a port"),
        (["serve", "--listen", ":52099"], "--listen: :52099 has no host"),
        (["serve", "--metrics", "localhost"], "--metrics: localhost has no port"),
        (["serve", "--metrics", "unix:/run/m"], "--metrics: it cannot be a socket"),
    ],
)
def test_an_address_that_is_none_is_refused(words: list[str], why: str, capsys: pytest.CaptureFixture[str]) -> None:
    """GRPC would listen on port 443, or on what is left of a number over 65535, and say nothing."""
    assert run(words) == Exit.USAGE
    assert capsys.readouterr().err.startswith(f"fanmesh: {why}\n  → write ")


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb_shows_how(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each verb's help has a line to copy, and says what to do with -o."""
    assert run([verb, "--help"]) == Exit.OK
    out = capsys.readouterr().out
    assert f"fanmesh {verb}" in out.partition("Like this")[2]
    assert "--output" in out


def test_help_imports_nothing_heavy() -> None:
    """Listing the verbs must not wait for gRPC, pydantic or the engine."""
    code = "import sys; from fanmesh.cli.main import run; run(['--help']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    loaded = set(done.stderr.split())
    assert "cyclopts" in loaded
    assert not loaded & {"grpc", "pydantic", "google.protobuf", "dispatcher", "opentelemetry", "watchfiles"}


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """`--version` prints one line."""
    assert run(["--version"]) == Exit.OK
    assert capsys.readouterr().out.startswith("fanmesh ")


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["chekc"], "fanmesh check"),
        (["frobnicate"], "there are: init"),
        (["call", "--nope"], "fanmesh call --help"),
        (["call", "p", "-d", "{"], "quote it"),
        (["call", "p", "--timeout", "300"], "300ms"),
        (["call", "p", "--attr", "tenant"], "name=value"),
        (["call", "p", "--stream", "all"], 'Invalid value "all" for --stream. Choose from: "snapshot", "branches".'),
        (["call", "--stream", "all", "p"], 'Invalid value "all" for --stream. Choose from: "snapshot", "branches".'),
        (["call", "p", "--stream=all"], 'Invalid value "all" for --stream. Choose from: "snapshot", "branches".'),
        (["call", "p", "--traceparent", "abc"], 'Invalid value "abc" for --traceparent. Choose from: "new", a W3C header'),
        (["call", "p", "--traceparent=abc"], 'Invalid value "abc" for --traceparent. Choose from: "new", a W3C header'),
        (
            ["call", "p", "--traceparent", "00-abc"],
            'Invalid value "00-abc" for --traceparent. Choose from: "new", a W3C header',
        ),
        (["call", "p", "more"], "Unused Tokens: ['more']"),
        (["call", "p", "--repeat", "0"], "leave one of them out"),
        (["call", "p", "--repeat", "2", "--stream"], "leave one of them out"),
        (["worker"], "fanmesh worker hello:hello"),
        (["worker", "Ge O=tests.kit.roles:echo"], "'Ge O' is not a name"),
        (["explain", "p", "--config", "x", "--server", "y"], "leave the other out"),
        (["init"], "fanmesh init --help"),
    ],
)
def test_usage_errors_say_what_to_do(words: list[str], hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be understood ends with 2, and with the next thing to type."""
    assert run(words) == Exit.USAGE
    err = capsys.readouterr().err
    assert hint in err


def test_errors_are_json_where_json_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    """With `-o json` stdout holds one JSON document, also for a command line that cannot be read."""
    assert run(["call", "--nope", "-o", "json"]) == Exit.USAGE
    told = json.loads(capsys.readouterr().out)
    assert told["error"]["exit"] == Exit.USAGE
    assert run(["explain", "p", "--graph", "svg", "-o", "json"]) == Exit.USAGE
    assert json.loads(capsys.readouterr().out)["error"]["hint"] == "leave the other out"
    assert "--nope" in told["error"]["message"]


def test_no_dispatcher(capsys: pytest.CaptureFixture[str]) -> None:
    """Where nothing listens, the error says how to start something."""
    assert run(["call", "p", "--server", "127.0.0.1:1"]) == Exit.FAILED
    err = capsys.readouterr().err
    assert "no dispatcher listening at 127.0.0.1:1" in err
    assert "fanmesh serve" in err


def test_options_with_a_value_that_may_be_left_out() -> None:
    """`--stream` alone means snapshot, `--traceparent` alone a new one; a value that follows is kept."""
    assert complete(["call", "p", "--stream", "-d", "{}"]) == ["call", "p", "--stream", "snapshot", "-d", "{}"]
    assert complete(["call", "--stream", "branches"]) == ["call", "--stream", "branches"]
    assert complete(["call", "--stream"]) == ["call", "--stream", "snapshot"]
    header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    assert complete(["call", "--traceparent", header]) == ["call", "--traceparent", header]
    assert complete(["call", "--traceparent", "-o", "json"])[2] == "new"
    assert complete(["call", "--stream", "greet", "-d", "{}"]) == ["call", "--stream", "snapshot", "greet", "-d", "{}"]


@pytest.mark.parametrize("words", [["-o", "json"], ["--output", "json"], ["--output=json"], ["-ojson"]])
def test_json_is_seen_in_every_spelling(words: list[str]) -> None:
    """All ways to write it."""
    assert wants_json(["call", *words])
    assert not wants_json(["call", "json", "-o", "text"])

import io
import json
import logging
import os
from collections.abc import Iterator

import pytest
import structlog

from fanmesh.runtime import logs
from fanmesh.runtime.environ import BadVariable


@pytest.fixture(autouse=True)
def restore(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("FANMESH_LOG_LEVEL", raising=False)
    monkeypatch.delenv("FANMESH_LOG_FORMAT", raising=False)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


class Terminal(io.StringIO):
    """Says that a person reads."""

    def isatty(self) -> bool:
        """It does."""
        return True


def test_a_line_is_json_with_the_ids() -> None:
    """One object a line: what, when (UTC), how bad, where, and which request and trace."""
    out = io.StringIO()
    logs.configure(out)
    logs.of_request(logs.logger("fanmesh.flow"), "r1", "abc").warning("refused", code="NOT_FOUND")
    line = json.loads(out.getvalue())
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "refused",
        "code": "NOT_FOUND",
        "request_id": "r1",
        "trace_id": "abc",
        "logger": "fanmesh.flow",
        "level": "warning",
    }


def test_without_a_trace_there_is_no_trace_id() -> None:
    """An empty field would be found by every search for it."""
    out = io.StringIO()
    logs.configure(out)
    logs.of_request(logs.logger("x"), "r1").info("hello")
    assert "trace_id" not in json.loads(out.getvalue())


def test_lines_of_libraries_look_the_same() -> None:
    """What comes through `logging` is JSON too, tracebacks included."""
    out = io.StringIO()
    logs.configure(out)
    try:
        os.environ["NOT_SET_ANYWHERE"]
    except KeyError:
        logging.getLogger("grpc").exception("lost %s", "it")
    line = json.loads(out.getvalue())
    assert (line["event"], line["logger"], line["level"]) == ("lost it", "grpc", "error")
    assert line["exception"][0]["exc_type"] == "KeyError"


def test_the_level_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Below it nothing is written, ours or a library's."""
    monkeypatch.setenv("FANMESH_LOG_LEVEL", "WARNING")
    out = io.StringIO()
    logs.configure(out)
    logs.logger("x").info("no")
    logging.getLogger("y").info("no")
    assert out.getvalue() == ""
    logs.logger("x").error("yes")
    assert json.loads(out.getvalue())["event"] == "yes"


def test_a_terminal_gets_columns_and_a_pipe_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless the format is said."""
    out = Terminal()
    logs.configure(out)
    logs.logger("x").info("hello")
    assert not out.getvalue().startswith("{")
    assert "hello" in out.getvalue()
    monkeypatch.setenv("FANMESH_LOG_FORMAT", "json")
    out = Terminal()
    logs.configure(out)
    logs.logger("x").info("hello")
    assert json.loads(out.getvalue())["event"] == "hello"


def test_a_wrong_level_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Starting with a level that nobody meant would hide what is looked for."""
    monkeypatch.setenv("FANMESH_LOG_LEVEL", "loud")
    with pytest.raises(BadVariable, match="FANMESH_LOG_LEVEL"):
        logs.configure(io.StringIO())

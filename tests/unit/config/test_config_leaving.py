"""How a dispatcher leaves: `server.announce`, `server.drain`, `server.connection_age`."""

from collections.abc import Callable

import pytest

from dispatcher.config import Config, Problem
from fanmesh.model.times import MS, SECOND


def test_what_is_said_is_what_is_done(load: Callable[..., Config]) -> None:
    """Each of the three as it is written."""
    server = load("routes:", "server: {announce: 1500ms, drain: 0, connection_age: 2m}\nroutes:").server
    assert (server.announce, server.drain, server.connection_age) == (1500 * MS, 0, 120 * SECOND)


def test_nothing_is_said(load: Callable[..., Config]) -> None:
    """No announcement, and connections of any age: what a process on a developer's machine wants."""
    server = load().server
    assert (server.announce, server.drain, server.connection_age) == (0, 20 * SECOND, None)


@pytest.mark.parametrize(
    ("key", "value"), [("announce", "-1s"), ("announce", "soon"), ("connection_age", "0"), ("connection_age", "1")]
)
def test_what_is_no_time_is_refused(wrong: Callable[..., list[Problem]], key: str, value: str) -> None:
    """With the path of the key; an age of nothing would never let a caller in."""
    (problem,) = wrong("routes:", f"server: {{{key}: {value}}}\nroutes:")
    assert (problem.path, problem.severity) == (f"server.{key}", "error")

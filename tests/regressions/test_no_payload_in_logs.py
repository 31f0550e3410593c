"""What a worker holds in its variables is its callers' data, and no log's."""

from __future__ import annotations

import io
import logging

import pytest

from fanmesh.runtime import logs


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_shows_no_local_variables(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither renderer prints them, whatever its default is."""
    monkeypatch.setenv("FANMESH_LOG_FORMAT", form)
    out, root = io.StringIO(), logging.getLogger()
    handlers, level = list(root.handlers), root.level
    logs.configure(out)
    try:
        secret = "+49 30 " + "123456"
        try:
            _ = {"phone": secret}["email"]
        except KeyError:
            logging.getLogger("worker").exception("it failed")
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    assert "KeyError" in out.getvalue()
    assert secret not in out.getvalue()

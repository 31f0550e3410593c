"""The picture of docs/tracing.md belongs to the trace beside it."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).parents[3]
IMAGES: Final = ROOT / "docs" / "img"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("draw_trace", ROOT / "scripts" / "draw_trace.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def trace() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((IMAGES / "trace.json").read_text("utf-8"))
    return found


def test_the_picture_is_drawn_from_the_trace_beside_it(script: ModuleType, trace: dict[str, Any]) -> None:
    """The same JSON, the same bytes: nobody has touched one without the other."""
    assert script.draw(trace) == (IMAGES / "trace.svg").read_text("utf-8")


def test_the_trace_has_what_the_page_shows_with_it(script: ModuleType, trace: dict[str, Any]) -> None:
    """A hedge, a retry, a refusal, a failure and a soft timeout: each is one of its lines."""
    endings = {row.name: row.ending for row in script.rows(trace)}
    assert len(script.rows(trace)) == len(trace["spans"])
    assert endings["branch ip"] == "CANCELLED/SOFT_TIMEOUT"
    assert endings["branch tax_id"] == "SUCCEEDED · hedge (slow)"
    assert endings["attempt tax_id"] == "hedge · won"
    assert endings["branch email"] == "SUCCEEDED · retry (UNAVAILABLE)"
    assert endings["branch holiday"].startswith("REJECTED/BREAKER_OPEN")
    assert endings["branch rates"].startswith("FAILED/INVALID_RESPONSE")

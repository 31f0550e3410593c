"""Callers that are not written in Python, and have nothing of ours but protos/: all calls, reports, trailers, rich errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from fanmesh.model.fault import Code
from tests.kit.foreign import TOOLS, built, missing
from tests.kit.mesh import plan, running
from tests.kit.programs import program
from tests.kit.roles import Hanging, echo, fails

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]

PROXIES = {"grpc_proxy": "", "http_proxy": "", "https_proxy": "", "no_grpc_proxy": "127.0.0.1", "no_proxy": "127.0.0.1"}

DONE, FAILED = "BRANCH_STATE_SUCCEEDED", "BRANCH_STATE_FAILED"


def report(plan_name: str, by: str, coverage: float, *, complete: bool, **branches: str) -> dict[str, Any]:
    """What the callers print of a report."""
    completed_by = f"COMPLETED_BY_{by}"
    return {"plan": plan_name, "complete": complete, "completed_by": completed_by, "coverage": coverage, "branches": branches}


GREETED = report("greet", "ALL", 1.0, complete=True, hello=DONE, again=DONE)
RESULT = {"hello": {"name": "Ada"}, "again": {"name": "Ada"}}


@pytest.mark.parametrize("language", TOOLS)
async def test_a_caller_in_another_language(language: str, record_property: Callable[[str, object], None]) -> None:
    """It reads what Python reads: results, snapshots, the report on success and failure, trailers, ErrorInfo and summary."""
    record_property("foreign client", language)
    if absent := missing(language):
        pytest.skip(f"NOT RUN: {language}: no {absent} here, so nothing is proved about callers in it")
    command = await built(language)
    workers = {"hello": echo, "again": echo, "bad": fails(Code.NOT_FOUND, "nobody"), "hangs": Hanging().worker}
    plans = {
        "greet": plan("hello", "again", budget="20s"),
        "broken": plan("hello", "bad", budget="20s", accept={"min_coverage": 1.0}),
        "hangs": plan("hangs", budget="20s"),
    }
    async with (
        running(workers, plans) as mesh,
        program(*command, f"127.0.0.1:{mesh.dispatcher.port}", environment=PROXIES) as caller,
    ):
        code = await caller.ended(60.0)
        assert code == 0, "".join(caller.heard)
    told = json.loads(caller.heard[-1])

    assert told["dispatch"] == {"result": RESULT, "report": GREETED, "trailer": "true"}
    check_failure(told["failure"])
    assert told["failure"]["summary"]["completed_by"] == "COMPLETED_BY_UNREACHABLE"
    assert told["failure"]["summary"]["branches"]["bad"] == FAILED
    assert (told["failure"]["trailer"], told["failure"]["pushback"]) == ("false", "-1")
    check_failure(told["in_message"])
    assert told["in_message"]["report"]["branches"]["bad"] == FAILED
    check_stream(told["stream"])
    check_failure(told["failed_stream"]["error"])
    assert told["failed_stream"]["report"]["branches"]["bad"] == FAILED
    assert "result" not in told["failed_stream"]
    assert told["failed_stream"]["trailer"] == "false"
    nodes = [{"branch": branch, "runs": True, "required": False} for branch in ("hello", "again")]
    assert told["explain"] == {"plan": "greet", "nodes": nodes}
    assert told["deadline"] == {"code": int(Code.DEADLINE_EXCEEDED)}


def check_failure(told: dict[str, Any]) -> None:
    """A status with its reason."""
    assert told["code"] == int(Code.UNAVAILABLE)
    assert "nobody" in told["message"]
    assert (told["info"]["reason"], told["info"]["domain"]) == ("COMPLETION_UNREACHABLE", "fanmesh")
    assert told["info"]["metadata"] == {"branch": "bad", "cause_code": "NOT_FOUND", "branch_reason": "WORKER_ERROR"}


def check_stream(told: dict[str, Any]) -> None:
    """Numbered from 1, the last snapshot the result."""
    assert told["seqs"] == list(range(1, len(told["seqs"]) + 1))
    assert told["snapshots"][-1] == told["result"] == RESULT
    assert told["report"] == GREETED
    assert told["trailer"] == "true"
    assert "error" not in told

"""Plans whose branch `a` has a fallback, and how their reports are read."""

from __future__ import annotations

from typing import Any

from fanmesh.model.report import BranchReport
from fanmesh.model.states import BranchReason, BranchState
from tests.kit.plans import plan

B: dict[str, Any] = {"worker": "b"}
USE: dict[str, Any] = {"use": {"n": 0}}
DEEP = {**B, "fallback": {"worker": "c"}}
NO_FLOOR = {"min_success": 0}


def conf(a: dict[str, Any], *, streaming: tuple[str, ...] = (), workers: Any = None, **rest: Any) -> dict[str, Any]:
    """A plan of the branch `a`, and of others in `branches`; b and c are workers, too."""
    others = rest.pop("branches", {})
    config = plan({"a": a, **others}, streaming=streaming, workers=workers, **rest)
    for name in "bc":
        given = {"target": "127.0.0.1:1", "effect": "read", "stream": name in streaming, **(workers or {}).get(name, {})}
        config["workers"].setdefault(name, given)
    return config


def fate(row: BranchReport) -> tuple[BranchState, BranchReason, str]:
    """How it ended, and who it was that answered."""
    return row.state, row.reason, row.worker


def noted(row: BranchReport) -> list[tuple[str, str]]:
    """Its decisions, without their times."""
    return [(one.what, one.why) for one in row.decisions]


def made(row: BranchReport) -> list[tuple[int, str, str, bool]]:
    """Its attempts: number, worker, fault, won."""
    return [(one.number, one.worker, one.fault, one.won) for one in row.attempts]

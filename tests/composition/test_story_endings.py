"""The table of endings, row by row: state and reason, what it counts in, the Degraded bit, and what a default makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from dispatcher.model.request import Tightening
from fanmesh.model.fault import Code
from fanmesh.model.states import BranchReason, BranchState, CompletedBy
from fanmesh.testing import Lab, Script, ends, fails, hangs, ms, rubbish, run_virtual, streams
from tests.kit.plans import oversize, plan, raises

R, S, C = BranchReason, BranchState, CompletedBy


class Row(NamedTuple):
    """How branch x ends beside one that answers after 1 ms, and what the table says of it."""

    script: Script
    branch: dict[str, Any]
    state: BranchState
    reason: BranchReason
    counter: str
    bits: set[str]
    default: bool = True
    """Whether `if_missing: use` puts one in."""

    rest: Mapping[str, Any] = MappingProxyType({})
    streaming: bool = False
    failure: bool = True
    """Whether `if_missing: fail` fails the request."""


BREAKS = streams([[1], [2]], every=ms(5), then=fails("UNAVAILABLE"))

TABLE: dict[str, Row] = {
    "answered": Row(ends([1]), {}, S.SUCCEEDED, R.NONE, "succeeded", set(), default=False, failure=False),
    "if is false": Row(
        hangs(), {"if": 'attributes.n == "1"'}, S.SKIPPED, R.CONDITION, "skipped", set(), default=False, failure=False
    ),
    "if failed to evaluate": Row(hangs(), {"if": "int(attributes.n) > 1"}, S.SKIPPED, R.CONDITION_ERROR, "skipped", {"error"}),
    "input failed to evaluate": Row(
        hangs(), {"input": "${int(attributes.n)}"}, S.SKIPPED, R.CONDITION_ERROR, "skipped", {"error"}
    ),
    "hard timeout": Row(
        hangs(), {"timeout": "50ms"}, S.TIMED_OUT, R.HARD_TIMEOUT, "timed_out", {"hard_timeout"}
    ),
    "cut by stop": Row(hangs(), {}, S.TIMED_OUT, R.REQUEST_DEADLINE, "timed_out", {"hard_timeout"}),
    "the worker's error": Row(fails("NOT_FOUND"), {}, S.FAILED, R.WORKER_ERROR, "failed", {"error"}),
    "a defect of the worker": Row(raises(RuntimeError("boom")), {}, S.FAILED, R.WORKER_ERROR, "failed", {"error"}),
    "an answer that cannot be read": Row(rubbish(), {}, S.FAILED, R.INVALID_RESPONSE, "failed", {"error"}),
    "an answer the mapping cannot read": Row(
        ends({"a": "x"}), {"output": "${int(output.a)}"}, S.FAILED, R.INVALID_RESPONSE, "failed", {"error"}
    ),
    "an answer the merge cannot take": Row(ends("no list"), {}, S.FAILED, R.INVALID_RESPONSE, "failed", {"error"}),
    "an oversize answer": Row(oversize(), {}, S.FAILED, R.TOO_LARGE, "failed", {"error"}),
    "a broken stream, kept": Row(
        BREAKS, {}, S.FAILED, R.STREAM_BROKEN, "failed", {"error", "partial_branch"}, streaming=True
    ),
    "a broken stream, discarded": Row(
        BREAKS, {"on_stream_failure": "discard"}, S.FAILED, R.STREAM_BROKEN, "failed", {"error"}, streaming=True
    ),
    "a stream that fails before its first part": Row(
        streams([], then=fails("UNAVAILABLE")), {}, S.FAILED, R.WORKER_ERROR, "failed", {"error"}, streaming=True
    ),
    "left behind at its soft timeout": Row(
        hangs(), {"soft_timeout": "50ms"}, S.CANCELLED, R.SOFT_TIMEOUT, "cancelled", {"soft_timeout"}
    ),
    "completion met first": Row(
        hangs(), {}, S.CANCELLED, R.COMPLETION_MET, "cancelled", set(),
        default=False, rest={"complete": {"until": "first"}}, failure=False,
    ),
}  # fmt: skip


def config(row: Row, if_missing: Any, **branch: Any) -> dict[str, Any]:
    """The plan for one row: lists are merged, so that a default [0] shows."""
    return plan(
        {"x": {**row.branch, "if_missing": if_missing, **branch}, "ok": {}},
        streaming=["x"] if row.streaming else [],
        attributes=["n"],
        merge="concat",
        **row.rest,
    )


def run(row: Row, if_missing: Any, **branch: Any) -> Any:
    """Dispatch it on virtual time."""

    async def main() -> Any:
        lab = Lab(config(row, if_missing, **branch))
        lab.worker("x").plays(row.script)
        lab.worker("ok").plays(ends(["ok"], after=ms(1)))
        result = await lab.dispatch("p")
        lab.assert_nothing_left()
        return result

    return run_virtual(main())


@pytest.mark.parametrize("what", TABLE)
def test_left_out(what: str) -> None:
    """With `if_missing: skip` the branch ends as the table says, sets its bit, and is in its denominator."""
    row = TABLE[what]
    r = run(row, "skip")
    x = r.report["x"]
    assert (x.state, x.reason, set(r.report.degraded.names())) == (row.state, row.reason, row.bits)
    assert getattr(r.coverage, row.counter) == (2 if row.counter == "succeeded" else 1)
    outside = row.reason is R.CONDITION
    assert r.coverage.weight_total == (1 if outside else 2)
    assert r.coverage.ratio == (1.0 if outside or row.state is S.SUCCEEDED else 0.5)
    assert r.complete is not bool(row.bits)
    assert r.code is Code.OK
    parts = [1, 2] if "partial_branch" in row.bits else []
    assert r.value == ([1, "ok"] if row.state is S.SUCCEEDED else [*parts, "ok"])
    assert x.merged is bool(row.state is S.SUCCEEDED or parts)


@pytest.mark.parametrize("what", TABLE)
def test_with_a_default(what: str) -> None:
    """With `if_missing: use` a default stands in where the table has one: DEFAULTED, reason kept, no coverage."""
    row = TABLE[what]
    r = run(row, {"use": [0]})
    x = r.report["x"]
    if not row.default:
        assert (x.state, x.reason, r.coverage.defaulted) == (row.state, row.reason, 0)
        assert 0 not in r.value
        return
    assert (x.state, x.reason) == (S.DEFAULTED, row.reason)
    assert set(r.report.degraded.names()) == row.bits | {"defaulted"}
    assert (r.coverage.defaulted, r.coverage.ratio) == (1, 0.5)
    assert r.value == ([1, 2, "ok"] if "partial_branch" in row.bits else [0, "ok"])
    assert x.merged


@pytest.mark.parametrize("what", [what for what, row in TABLE.items() if row.failure])
def test_that_fails_everything(what: str) -> None:
    """With `if_missing: fail` the branch's failure fails the floor: UNREACHABLE, or DEADLINE if stop was the cause."""
    row = TABLE[what]
    r = run(row, "fail")
    by_stop = row.reason in (R.REQUEST_DEADLINE, R.SOFT_TIMEOUT)  # it is waited for, its soft timeout does not count
    assert r.report.completed_by is (C.HARD_TIMEOUT if by_stop else C.UNREACHABLE)
    assert r.code is not Code.OK
    assert r.value is None
    assert r.report["x"].state is (S.FAILED if row.reason is R.CONDITION_ERROR else S.TIMED_OUT if by_stop else row.state)


@pytest.mark.parametrize("what", [what for what, row in TABLE.items() if row.failure])
def test_that_was_required(what: str) -> None:
    """A required branch that ends badly fails the request, whatever the way."""
    r = run(TABLE[what], "skip", required=True)
    assert r.code is not Code.OK
    assert r.report.completed_by in (C.UNREACHABLE, C.HARD_TIMEOUT)
    assert r.refusal.metadata == () or dict(r.refusal.metadata)["branch"] == "x"


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (fails("DEADLINE_EXCEEDED"), Code.DEADLINE_EXCEEDED),
        (fails("RESOURCE_EXHAUSTED"), Code.RESOURCE_EXHAUSTED),
        (fails("ABORTED"), Code.ABORTED),
        (fails("NOT_FOUND"), Code.UNAVAILABLE),
        (fails("INVALID_ARGUMENT"), Code.UNAVAILABLE),
    ],
)
def test_a_single_cause_passes_through(script: Script, code: Code) -> None:
    """A single cause of an unreachable floor is the call's own code if the caller can use it, else UNAVAILABLE."""
    r = run(TABLE["the worker's error"]._replace(script=script), "skip", required=True)
    assert (r.code, r.reason) == (code, "COMPLETION_UNREACHABLE")


def test_two_causes_do_not() -> None:
    """With several causes the call is UNAVAILABLE, and names the first."""

    async def main() -> Any:
        lab = Lab(plan("a b"))
        lab.worker("a").plays(fails("ABORTED", after=ms(20)))
        lab.worker("b").plays(fails("ABORTED", after=ms(10)))
        return await lab.dispatch("p")

    r = run_virtual(main())
    assert (r.code, dict(r.refusal.metadata)["branch"]) == (Code.UNAVAILABLE, "b")


def test_not_started() -> None:
    """Too little time to start: SKIPPED/NOT_STARTED_NO_TIME, counted as skipped, hard_timeout; a default stands in."""

    async def main(if_missing: Any) -> Any:
        lab = Lab(plan({"x": {"if_missing": if_missing}}, accept={"min_success": 0}))
        return await lab.dispatch("p", timeout=ms(5), tightening=Tightening())

    r = run_virtual(main("skip"))
    assert (r.report["x"].state, r.report["x"].reason, r.coverage.skipped) == (S.SKIPPED, R.NOT_STARTED_NO_TIME, 1)
    assert (r.report.degraded.names(), r.coverage.weight_total, r.code) == (("hard_timeout",), 1.0, Code.OK)
    r = run_virtual(main({"use": 3}))
    assert (r.report["x"].state, r.report["x"].reason, r.value) == (S.DEFAULTED, R.NOT_STARTED_NO_TIME, {"x": 3})


def test_everything_failed_to_evaluate() -> None:
    """Nothing is to run when every `if` is false or failed: EMPTY."""

    async def main() -> Any:
        lab = Lab(plan({"a": {"if": "int(attributes.n) > 1"}, "b": {"if": 'attributes.n == "1"'}}, attributes=["n"]))
        return await lab.dispatch("p")

    r = run_virtual(main())
    assert (r.report.completed_by, r.code) == (C.EMPTY, Code.FAILED_PRECONDITION)


def test_a_failure_at_the_verdict_takes_no_default() -> None:
    """Left behind because completion was met is no loss: no default, no bit."""
    r = run(TABLE["completion met first"], {"use": [0]})
    assert (r.value, r.complete) == (["ok"], True)

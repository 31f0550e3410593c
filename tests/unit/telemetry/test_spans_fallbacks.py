"""The spans of a branch that fell back: whose each attempt was, and which of them the merge is linked to."""

from __future__ import annotations

from dataclasses import replace

from dispatcher.layers.types import Relay
from dispatcher.model.plan import Worker
from dispatcher.wire.spans import Spans
from fanmesh.model.coverage import Coverage
from fanmesh.model.fault import Fault
from fanmesh.model.outcome import Success
from fanmesh.model.report import BranchReport, Report
from fanmesh.model.states import AggregatorMode, BranchReason, BranchState, CompletedBy
from tests.kit.recording import Recording
from tests.kit.story import attempt_of, closed, ended, request_of, run_of
from tests.unit.telemetry.test_spans import Clock, sampled


def test_each_attempt_names_its_own_worker() -> None:
    """The branch's span is the first attempt's, at the branch's own worker; the fallback's is its child, and has won."""
    recording, clock = Recording(), Clock()
    spans, run = Spans(recording, clock), run_of(request_of(sampled(recording)))
    run.relay = Relay()
    spans.branch_started(run)
    first = attempt_of(run, 0, address="10.0.0.1:1")
    spans.attempt_started(first)
    spans.attempt_ended(ended(first, Fault.internal(), 10))
    run.relay.others, run.attempts, run.relay.base = (first,), [], 1
    run.node = replace(run.node, worker=Worker("backup", "backup:1"))
    second = attempt_of(run, 10, address="10.0.0.2:1")
    second.number = 1
    spans.attempt_started(second)
    spans.attempt_ended(ended(second, Success({}), 20))
    spans.branch_ended(closed(run, BranchState.FELL_BACK, BranchReason.WORKER_ERROR))

    child, branch = recording.spans
    assert (child.name, child.parent, branch.name) == ("attempt geo", branch.ids.span_id, "branch geo")
    assert [(one.attributes["fanmesh.worker"], one.attributes["server.address"]) for one in (branch, child)] == [
        ("geo", "10.0.0.1"), ("backup", "10.0.0.2"),
    ]  # fmt: skip
    assert [one.attributes["fanmesh.attempt.won"] for one in (branch, child)] == [False, True]
    assert branch.attributes["rpc.response.status_code"] == "INTERNAL"
    assert (branch.attributes["fanmesh.branch.state"], branch.attributes["fanmesh.branch.reason"], branch.error) == (
        "FELL_BACK", "WORKER_ERROR", None,
    )  # fmt: skip
    assert branch.attributes["fanmesh.branch.attempts"] == 2

    row = BranchReport("geo", "backup", BranchState.FELL_BACK, merged=True, span_id=f"{branch.ids.span_id:016x}")
    report = Report("r1", "p", CompletedBy.ALL, Coverage(1.0), (row,), aggregator_mode=AggregatorMode.EMBEDDED)
    spans.request_ended(run.request, report, None, 25)
    merge = recording.spans[-2]
    assert (merge.name, [link.span_id for link in merge.links]) == ("aggregate", [child.ids.span_id])

"""Run a world on virtual time and hold its invariants against what happened.

`python -m tests.simulation.run SEED` replays one.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from aggregator.engine.fold import Fold
from dispatcher.model.deadlines import Deadlines, divide
from dispatcher.model.plan import Node, Plan
from fanmesh.eventlog import decode_event, encode_event
from fanmesh.expr import evaluator
from fanmesh.model.events import Arm, Change, Effect, End, Event, Result, Start, Verdict
from fanmesh.model.fault import Code
from fanmesh.model.report import BranchReport, Report
from fanmesh.model.states import BranchReason, BranchState, ChangeKind, CompletedBy, EmitMode, IfMissing
from fanmesh.payload import Box, encode
from fanmesh.testing import Lab, LabResult, VirtualClock, ms, run_virtual
from fanmesh.testing.scripts import virtual_sleep
from tests.kit.naive import Course, Naive
from tests.kit.plans import Recorded, Recorder, Seen, caught, watched
from tests.simulation.oracle import Oracle
from tests.simulation.world import Actor, Call, World, make

R, S, C = BranchReason, BranchState, CompletedBy
BY_PARTS = (C.PREDICATE, C.CONFIDENCE, C.QUIET)

LONGEST_LINGER = ms(5000)

BITS = {
    "soft_timeout": {R.SOFT_TIMEOUT},
    "hard_timeout": {R.HARD_TIMEOUT, R.REQUEST_DEADLINE, R.NOT_STARTED_NO_TIME},
    "missing_input": {R.UPSTREAM_MISSING},
    "error": {R.CONDITION_ERROR, R.WORKER_ERROR, R.STREAM_BROKEN, R.INVALID_RESPONSE, R.TOO_LARGE},
}


class Watcher:
    """Reads every snapshot."""

    def __init__(self) -> None:
        self.last: Any = None
        self.rows: list[BranchReport] = []

    def update(self, read: Any) -> None:
        """The result so far has changed."""
        self.last = read()[0]

    def branch(self, row: BranchReport, read: Any) -> None:
        """A branch was sent, or has ended."""
        assert read().planned >= 1
        self.rows.append(row)


@dataclass
class Story:
    """What came of one call."""

    call: Call
    watcher: Watcher = field(default_factory=Watcher)
    replies: list[LabResult] = field(default_factory=list)
    gone: bool = False


def simulate(seed: int) -> list[Story]:
    """Run the world of a seed and check it. AssertionError with how to replay it."""
    try:
        return run_virtual(_live(make(seed)))
    except BaseException as error:
        error.add_note(f"replay with: python -m tests.simulation.run {seed}")
        raise


async def _live(world: World) -> list[Story]:
    recorder = Recorder()
    lab = Lab(world.config, aggregate=recorder.open)
    calls = {call.number: call for call in world.calls}
    lab._workers = {name: Actor(name, calls) for name in world.config.catalogue.workers}
    seen = watched(lab)
    told, _ = caught()  # bugs of workers are reported, as they should be
    stories = [Story(call) for call in world.calls]
    await asyncio.gather(*(_caller(lab, lab.clock, story) for story in stories))
    await virtual_sleep(LONGEST_LINGER)  # the most stubborn worker
    lab.assert_nothing_left()
    assert all("a branch failed by a defect" in context["message"] for context in told)
    assert all(isinstance(context["exception"], RuntimeError) for context in told)
    assert len(seen.ended) == len(stories)  # each request ends once
    logs = {request.log[0].what.request_id: request for request in recorder.requests}  # type: ignore[union-attr]  # a start
    for request, report, _, ended in seen.ended:
        given: Any = request.input.value
        story = stories[given["n"]]
        _check(world, story, logs[request.id], report, ended - request.arrived, seen)
    return stories


async def _caller(lab: Lab, clock: VirtualClock, story: Story) -> None:
    call = story.call
    await virtual_sleep(call.at)
    began = clock.now()
    dispatched = asyncio.ensure_future(
        lab.dispatch(
            call.plan,
            {"n": call.number},
            timeout=call.timeout,
            tightening=call.tightening,
            emit=call.emit,
            watch=story.watcher,
        )
    )
    if call.hangs_up is not None:
        await asyncio.wait([dispatched], timeout=call.hangs_up / 1e9)
        dispatched.cancel()
    try:
        story.replies.append(await dispatched)
    except asyncio.CancelledError:
        story.gone = True
        assert call.hangs_up is not None
        assert clock.now() == began + call.hangs_up


def _check(world: World, story: Story, record: Recorded, report: Report | None, took: int, seen: Seen) -> None:
    plan = world.config.catalogue.plans[story.call.plan]
    deadlines = divide(story.call.timeout, plan.latency, plan.merge_reserve, story.call.tightening.latency)
    assert report is not None
    _check_start(plan, story.call, record, deadlines)
    assert len(story.replies) + story.gone == 1  # one reply, or none to a caller that has gone
    assert took <= deadlines.total
    assert seen.errors.count("if") >= 0
    _check_log(plan, story.call, record, report, deadlines)
    _check_rows(plan, report)
    if story.gone:
        if report.completed_by is not C.CALLER_GONE:  # in the very instant in which it was complete
            assert took == story.call.hangs_up
            return
        assert {row.reason for row in report.branches if row.state is S.CANCELLED} <= {R.CALLER_GONE}
        return
    (reply,) = story.replies
    assert reply.report is report
    _check_verdict(plan, reply, record)
    _check_replay(record, record.log)
    _check_replay(record, [decode_event(encode_event(event)) for event in record.log])
    if reply.code is Code.OK and story.call.emit is EmitMode.SNAPSHOT:
        assert encode(story.watcher.last) == encode(reply.value)  # the last snapshot is the result


def _check_rows(plan: Plan, report: Report) -> None:
    """The report adds up, by itself."""
    rows, coverage = report.branches, report.coverage
    assert [row.branch for row in rows] == [node.id for node in plan.nodes]
    assert all(row.state is not S.PENDING for row in rows)
    counts = [sum(row.state is state for row in rows) for state in S]
    assert counts == [
        coverage.pending, coverage.succeeded, coverage.defaulted, coverage.fell_back, coverage.skipped,
        coverage.rejected, coverage.timed_out, coverage.failed, coverage.cancelled,
    ]  # fmt: skip
    assert sum(counts) == coverage.planned == len(plan.nodes)
    assert coverage.started == sum(row.started_after is not None for row in rows)
    ok = sum(Fraction(repr(row.weight)) for row in rows if row.state is S.SUCCEEDED)
    total = sum(Fraction(repr(row.weight)) for row in rows if row.reason is not R.CONDITION)
    ratio = float(ok / total) if total else 0.0
    assert (coverage.weight_ok, coverage.weight_total, coverage.ratio) == (float(ok), float(total), ratio)
    nodes = {node.id: node for node in plan.nodes}
    kept = [
        row for row in rows if row.merged and row.reason is R.STREAM_BROKEN and not nodes[row.branch].whole_only
    ]  # fmt: skip
    cut = [row for row in rows if row.merged and row.state is S.CANCELLED] if report.completed_by in BY_PARTS else []
    bits = {bit for bit, reasons in BITS.items() if any(row.reason in reasons for row in rows)}
    bits |= {"defaulted"} if coverage.defaulted else set()
    bits |= {"partial_branch"} if kept else set()
    assert set(report.degraded.names()) == bits
    for row in rows:
        assert not row.merged or row.state in (S.SUCCEEDED, S.FELL_BACK, S.DEFAULTED) or row in [*kept, *cut]
        assert (row.started_after is None) == (row.elapsed is None)
        assert row.elapsed is None or row.elapsed >= 0


def _check_verdict(plan: Plan, reply: LabResult, record: Recorded) -> None:
    """What the design says of this log, read off by the oracle."""
    start = record.log[0].what
    assert isinstance(start, Start)
    report = reply.report
    (verdict,) = [effect for effect in record.effects if isinstance(effect, Verdict)]
    judged = Oracle(start).judge(record.log)
    assert (judged.by, judged.at, judged.accepted) == (verdict.completed_by, verdict.at, verdict.accepted)
    assert report.completed_by is judged.by
    left = {R.LATE: R.COMPLETION_MET}  # answered in the instant of the verdict, and after it
    assert {row.branch: (row.state, left.get(row.reason, row.reason)) for row in report.branches} == judged.fates
    accepted = reply.code is Code.OK or reply.reason == "MERGE_CONFLICT"
    assert accepted is judged.accepted
    assert reply.complete is (reply.code is Code.OK and not report.degraded)
    assert reply.elapsed == verdict.at  # nothing delays a reply
    if not accepted:
        assert reply.value is None
        assert not any(row.merged for row in report.branches)
    elif plan.merge.kind in ("collect", "concat"):
        merged = {row.branch for row in report.branches if row.merged}
        assert {row.branch for row in report.branches if row.state in (S.SUCCEEDED, S.DEFAULTED)} <= merged


def _check_start(plan: Plan, call: Call, record: Recorded, deadlines: Deadlines) -> None:
    """The head of the log is the plan, with this request's deadlines and its floor."""
    start = record.log[0].what
    assert isinstance(start, Start)
    rule, tight, latest = plan.completion, call.tightening, deadlines.stop * 7 // 10
    assert (start.stop, start.total, start.completion.until) == (deadlines.stop, deadlines.total, rule.until)
    assert start.completion.soft == (None if rule.soft is None else min(rule.soft, latest))
    assert start.completion.min_success == max(rule.min_success, tight.min_success)
    assert start.completion.min_coverage == max(rule.min_coverage, tight.min_coverage)
    for told, node in zip(start.nodes, plan.nodes, strict=True):
        assert told.required is (node.required or node.id in tight.required)
        if not told.required and node.if_missing is not IfMissing.FAIL:
            assert told.soft == (None if node.soft is None else min(node.soft, latest))


def _check_log(plan: Plan, call: Call, record: Recorded, report: Report, deadlines: Deadlines) -> None:
    """The log tells what the workers did: each ending when it happened, and nothing that did not."""
    at = max(row_end(row) for row in report.branches)
    verdicts = [effect.at for effect in record.effects if isinstance(effect, Verdict)]
    over = verdicts[0] if verdicts else max([at, record.log[-1].at])
    excluded = {e.what.branch for e in record.log if isinstance(e.what, Change) and e.what.kind is ChangeKind.EXCLUDED}
    ended = {e.what.branch: (e.at, e.what.state, e.what.reason) for e in record.log if isinstance(e.what, End)}
    assert [event.seq for event in record.log] == list(range(1, len(record.log) + 1))
    assert all(a.at <= b.at for a, b in zip(record.log, record.log[1:], strict=False))
    if plan.graph is not None or any(node.min_time for node in plan.nodes):
        _check_staged(plan, call, record, deadlines, over)
        return
    for node in plan.nodes:
        if node.condition is not None:
            assert node.id in excluded or not over  # unless the request was over before it was looked at
            continue
        act = call.acts[node.id]
        natural: tuple[int, BranchState, BranchReason] | None = None
        if deadlines.stop < ms(5):
            natural = (0, S.SKIPPED, R.NOT_STARTED_NO_TIME)
        elif act.end is not None and act.end <= (node.timeout or deadlines.stop) and act.end < deadlines.stop:
            natural = (act.end, act.state, act.reason)
        elif node.timeout is not None and node.timeout < deadlines.stop:
            natural = (node.timeout, S.TIMED_OUT, R.HARD_TIMEOUT)
        if node.id in ended:
            assert ended[node.id] == natural
        elif natural is not None:
            assert natural[0] >= over


def _check_staged(plan: Plan, call: Call, record: Recorded, deadlines: Deadlines, over: int) -> None:
    """None is sent before what it waits for has ended; who starts, is left out or ends, and when: as a naive reading has it."""
    edges = {node.id: node.edges for node in plan.nodes}
    ended: dict[str, int] = {}
    for event in record.log:
        match event.what:
            case Change(branch, ChangeKind.STARTED):
                assert edges[branch].all() <= ended.keys()
                assert branch not in ended
            case Change(branch, ChangeKind.EXCLUDED) | End(branch=branch):
                assert branch not in ended
                ended[branch] = event.seq
    must = {node.id for node in plan.nodes if node.required or node.if_missing is IfMissing.FAIL} | call.tightening.required
    source = Box.of({"n": call.number})
    naive = Naive(plan.nodes, source, {}, deadlines.stop, lambda node, _: _course(node, call), frozenset(must), ended)
    told = [(at, what) for at, what in naive.tell() if isinstance(what, Change | End)]
    expected = {(at, what.branch, what.kind if isinstance(what, Change) else what.state, what.reason) for at, what in told}
    seen = {
        (e.at, e.what.branch, e.what.kind if isinstance(e.what, Change) else e.what.state, e.what.reason)
        for e in record.log
        if isinstance(e.what, Change | End)
    }
    assert {entry for entry in expected if entry[0] < over} <= seen <= expected


def _course(node: Node, call: Call) -> Course:
    """An act as far as others read of it: whether it answers, and whether parts of it are kept; not what they say."""
    act = call.acts[node.id]
    kept = act.reason is R.STREAM_BROKEN and not node.whole_only
    return Course(act.end, act.state, act.reason, parts=((0, None),) if kept else ())


def row_end(row: BranchReport) -> int:
    """When a branch ended, since arrival; 0 if it was never sent."""
    return 0 if row.started_after is None or row.elapsed is None else row.started_after + row.elapsed


def _check_replay(record: Recorded, log: list[Event]) -> None:
    """The same log in a fresh fold gives the same, to the bit."""
    fold = Fold(evaluator)
    effects: list[Effect] = [effect for event in log for effect in fold.apply(event)]
    for kind in (Verdict, Arm):
        assert [e for e in effects if isinstance(e, kind)] == [e for e in record.effects if isinstance(e, kind)]
    (ours,) = [effect for effect in record.effects if isinstance(effect, Result)]
    (theirs,) = [effect for effect in effects if isinstance(effect, Result)]
    assert encode(theirs.value) == encode(ours.value)
    assert repr(theirs) == repr(ours)


def main() -> None:
    """Replay one and say how each call ended."""
    for story in simulate(int(sys.argv[1])):
        for reply in story.replies:
            rows = " ".join(f"{r.branch}:{r.state.name}/{r.reason.name}" for r in reply.report.branches)
            print(story.call.number, reply.code.name, reply.report.completed_by.name, reply.elapsed, rows)  # noqa: T201
        if story.gone:
            print(story.call.number, "hung up")  # noqa: T201


if __name__ == "__main__":
    main()

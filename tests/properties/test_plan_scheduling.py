"""Any plan of up to thirty nodes that read each other, whatever they do: who runs, when, on what, and how long at most."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher.flow.ports import Deliver
from dispatcher.model.deadlines import divide
from dispatcher.model.plan import Node
from dispatcher.wire.aggregator_embedded import EmbeddedSession
from fanmesh.eventlog import decode_answer, decode_event, encode_effect, encode_event
from fanmesh.model.events import Change, Effect, End, Event, Happening, PartArrived, Start
from fanmesh.model.report import BranchReport
from fanmesh.model.states import BranchReason, BranchState, ChangeKind, IfMissing
from fanmesh.model.times import SECOND
from fanmesh.payload import Box, encode
from fanmesh.testing import ms
from tests.kit.effort import tries
from tests.kit.naive import LEAST, Naive
from tests.kit.staged import Ran, Staged, plans, played
from tests.simulation.oracle import Oracle

R, S = BranchReason, BranchState
EXCLUDED, STARTED = ChangeKind.EXCLUDED, ChangeKind.STARTED


def stop_of(staged: Staged) -> int:
    """When it must be complete, in ns."""
    return divide(staged.timeout, staged.plan.latency, staged.plan.merge_reserve).stop


def told(staged: Staged, ran: Ran) -> Naive:
    """The course of the plan as the naive reading has it; of two endings at one instant it takes the order that was seen."""
    ended = [e.what.branch for e in ran.log if isinstance(e.what, End)]
    must = frozenset(node.id for node in staged.plan.nodes if node.required or node.if_missing is IfMissing.FAIL)
    naive = Naive(
        staged.plan.nodes,
        Box.of({"v": 0}),
        {},
        stop_of(staged),
        lambda node, _: staged.courses[node.id],
        must,
        {branch: place for place, branch in enumerate(ended)},
    )
    naive.tell()
    return naive


def plainly(at: int, what: Happening) -> tuple[Any, ...]:
    """An entry of a log without what only the report wants."""
    match what:
        case Change(branch, kind, reason):
            return at, branch, kind, reason
        case PartArrived(branch=branch, part_seq=seq, value=value):
            return at, branch, seq, encode(value)
        case End(branch=branch, state=state, reason=reason, value=value, streamed=streamed):
            return at, branch, state, reason, encode(value), streamed
    return at, what


@settings(max_examples=tries(80))
@given(plans())
def test_everything_happens_as_a_naive_reading_of_the_plan_says(staged: Staged) -> None:
    """Each start, part, exclusion and ending: all before the verdict, some of those in its instant, and nothing else."""
    ran = played(staged)
    naive = told(staged, ran)
    judged = Oracle(ran.log[0].what).judge(ran.log)  # type: ignore[arg-type]  # a log begins with its Start
    report = ran.result.report
    assert (report.completed_by, ran.result.elapsed) == (judged.by, judged.at)
    writes = {node.id for node in staged.plan.nodes if node.writes}
    for row in report.branches:
        assert (row.state, row.reason) == left(judged.fates[row.branch], row, writes)
    seen = [plainly(e.at, e.what) for e in ran.log if isinstance(e.what, Change | PartArrived | End)]
    expected = [plainly(at, what) for at, what in naive.log]
    assert len(seen) == len(set(seen))
    assert {entry for entry in expected if entry[0] < judged.at} <= set(seen)
    assert set(seen) <= {entry for entry in expected if entry[0] <= judged.at}


def left(judged: tuple[BranchState, BranchReason], row: BranchReport, writes: set[str]) -> tuple[BranchState, BranchReason]:
    """How a report says it: a write that was sent is left to itself, and an answer in the verdict's instant may be late."""
    reason = judged[1]
    if row.branch in writes and row.started_after is not None and reason in {R.COMPLETION_MET, R.SOFT_TIMEOUT}:
        return S.PENDING, R.SOFT_TIMEOUT
    return judged[0], R.LATE if (row.reason, reason) == (R.LATE, R.COMPLETION_MET) else reason


@settings(max_examples=tries(60))
@given(plans())
def test_who_runs_runs_once_on_its_inputs_and_within_its_time(staged: Staged) -> None:
    """Sent at the instant in which the last node that it waits for has ended; its deadline leaves the others their time."""
    ran = played(staged)
    naive = told(staged, ran)
    stop, nodes = stop_of(staged), {node.id: node for node in staged.plan.nodes}
    ended = {entry.what.branch: entry.at for entry in ran.log if isinstance(entry.what, End) or excluded(entry)}
    assert len({branch for branch, *_ in ran.sent}) == len(ran.sent)
    assert len({branch for branch, _ in ran.entered}) == len(ran.entered)
    for branch, deadline in ran.entered:
        start = naive.starts[branch]
        assert 0 <= deadline <= max(stop - longest(nodes[branch], nodes, ended, start.at), start.at)
    rows = {row.branch for row in ran.result.report.branches if row.started_after is not None}
    assert rows == {branch for branch, *_ in ran.sent}
    for branch, given_input, at, deadline in ran.sent:
        node, start = nodes[branch], naive.starts[branch]
        assert at == max((ended[other] for other in node.edges.all()), default=0) == start.at
        assert given_input == ({"v": 0} if node.input is None else start.sent)
        assert deadline == start.deadline
        assert at + min(LEAST, node.timeout or LEAST) <= deadline <= stop - longest(node, nodes, ended, at)
        assert ended.get(branch, 0) <= deadline


def excluded(entry: Event) -> bool:
    """Whether it says that a node does not run."""
    return isinstance(entry.what, Change) and entry.what.kind is EXCLUDED


def longest(node: Node, nodes: dict[str, Node], ended: dict[str, int], at: int) -> int:
    """The longest path of `min_time`s behind a node, over those that had not ended when it was sent, or in that instant."""
    left = {name: one for name, one in nodes.items() if ended.get(name, at + 1) > at}
    paths = {node.id: 0}  # the longest to each node behind; lengthened until nothing changes
    while longer := {
        name: there
        for name, one in left.items()
        if (there := max((paths[b] + one.min_time for b in one.edges.all() & paths.keys()), default=-1)) > paths.get(name, -1)
    }:
        paths |= longer
    return max(paths.values())


@settings(max_examples=tries(50))
@given(plans())
def test_an_input_is_missing_exactly_if_a_branch_that_feeds_gives_nothing(staged: Staged) -> None:
    """And a node is not wanted exactly if its `if` says so of what has ended; the account adds up."""
    ran = played(staged)
    nodes = {node.id: node for node in staged.plan.nodes}
    rows = {row.branch: row for row in ran.result.report.branches}
    for branch, row in rows.items():
        node = nodes[branch]
        gone = [other for other in node.edges.feeds if not gives(node, nodes[other], rows[other].state, rows[other].reason)]
        if row.reason is R.UPSTREAM_MISSING:
            assert gone
            assert row.state is (S.DEFAULTED if node.if_missing is IfMissing.USE else S.SKIPPED)
        if row.started_after is not None:
            assert not gone
        if row.reason is R.CONDITION:
            assert row.state is S.SKIPPED
            assert node.condition is not None
    coverage = ran.result.coverage
    assert coverage.planned == len(rows)
    assert coverage.started == len(ran.sent)
    assert coverage.skipped == sum(row.state is S.SKIPPED for row in rows.values())
    total = sum(row.weight for row in rows.values() if row.reason is not R.CONDITION)
    assert abs(coverage.weight_total - total) < 1e-9
    assert (R.UPSTREAM_MISSING in {row.reason for row in rows.values()}) is ran.result.report.degraded.missing_input


def gives(reader: Node, read: Node, state: BranchState, reason: BranchReason) -> bool:
    """Whether a branch that ended so has something for the one that reads it."""
    partial = reason is R.STREAM_BROKEN and not read.discard_broken and (reader.allow_partial_input or not reader.writes)
    return state in (S.SUCCEEDED, S.DEFAULTED) or partial


class OverTheWire(EmbeddedSession):
    """A fold behind the Aggregator's protocol: events and effects go through their messages."""

    __slots__ = ()

    def __init__(self, deliver: Deliver) -> None:
        super().__init__(lambda effect: deliver(decode_answer(encode_effect(effect))))

    def feed(self, event: Event) -> None:
        """Fold the event as the service would read it."""
        super().feed(decode_event(encode_event(event)))


@settings(max_examples=tries(40))
@given(plans())
def test_it_is_the_same_wherever_the_merge_runs(staged: Staged) -> None:
    """Embedded, and with every event and effect as a message: result, report and calls are equal to the bit."""
    here = played(staged)
    there = played(staged, lambda deliver, _end: OverTheWire(deliver))
    assert encode(there.result.value) == encode(here.result.value)
    assert repr(there.result.report) == repr(here.result.report)
    assert (there.result.refusal, there.result.elapsed, there.sent) == (here.result.refusal, here.result.elapsed, here.sent)


class Afar(OverTheWire):
    """And its answers take a while."""

    __slots__ = ()

    def __init__(self, deliver: Deliver, delay: int) -> None:
        loop, way = asyncio.get_running_loop(), deque[Effect]()  # timers of one instant have no order, a stream has

        def later(effect: Effect) -> None:
            way.append(effect)
            loop.call_later(delay / SECOND, lambda: deliver(way.popleft()))

        super().__init__(later)

    def finish(self) -> None:
        """What is on its way still comes."""


@settings(max_examples=tries(40))
@given(plans(), st.sampled_from([0, 1, ms(1), ms(7)]))
def test_it_is_the_same_however_late_a_verdict_arrives(staged: Staged, delay: int) -> None:
    """Nodes that start or end after it, before anybody knows, change nothing: it counts as of when it was due."""
    here = played(staged)
    there = played(staged, lambda deliver, _end: Afar(deliver, delay))
    assert encode(there.result.value) == encode(here.result.value)
    report, other = here.result.report, there.result.report
    assert (other.completed_by, other.degraded, other.conflicts) == (report.completed_by, report.degraded, report.conflicts)
    assert other.coverage._replace(started=0) == report.coverage._replace(started=0)
    late = {R.LATE: R.COMPLETION_MET}
    fates = [(row.branch, row.state, late.get(row.reason, row.reason), row.merged) for row in report.branches]
    assert [(row.branch, row.state, late.get(row.reason, row.reason), row.merged) for row in other.branches] == fates


@pytest.mark.slow
def test_the_drawn_plans_are_worth_it() -> None:
    """Nearly everything that can come of a node comes of one within a hundred plans."""
    reasons: set[BranchReason] = set()
    longest_chain = 0

    @settings(max_examples=100, database=None, derandomize=True)
    @given(plans())
    def look(staged: Staged) -> None:
        nonlocal longest_chain
        ran = played(staged)
        reasons.update(row.reason for row in ran.result.report.branches)
        start = ran.log[0].what
        assert isinstance(start, Start)
        longest_chain = max(longest_chain, len({at for _, _, at, _ in ran.sent}))

    look()
    assert reasons >= {
        R.NONE, R.CONDITION, R.CONDITION_ERROR, R.UPSTREAM_MISSING, R.HARD_TIMEOUT, R.REQUEST_DEADLINE, R.WORKER_ERROR,
        R.STREAM_BROKEN, R.INVALID_RESPONSE, R.NOT_STARTED_NO_TIME, R.COMPLETION_MET, R.SOFT_TIMEOUT,
    }  # fmt: skip
    assert longest_chain >= 4

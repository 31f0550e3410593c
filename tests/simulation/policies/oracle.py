"""A request's report against what the replicas saw, and the state of everything when a world has become well again.

It shares no rule with the engine: it looks at the two accounts, and at what the design says of either.
"""

from __future__ import annotations

from math import fsum

from dispatcher.model.plan import Plan
from dispatcher.model.request import Request
from dispatcher.policies.books import Books
from dispatcher.policies.breaker import State
from fanmesh.model.fault import Code
from fanmesh.model.report import AttemptReport, BranchReport, Report
from fanmesh.model.states import BranchReason, BranchState
from fanmesh.model.times import SECOND
from tests.simulation.policies.ledger import Ledger
from tests.simulation.policies.replicas import How, Served
from tests.simulation.policies.world import OPEN_MAX, RECOVERY, TROUBLE

R, S = BranchReason, BranchState

BITS = {
    "soft_timeout": {R.SOFT_TIMEOUT},
    "hard_timeout": {R.HARD_TIMEOUT, R.REQUEST_DEADLINE, R.NOT_STARTED_NO_TIME},
    "breaker": {R.BREAKER_OPEN},
    "overload": {R.OVERLOAD, R.RATE_LIMIT},
    "error": {R.CONDITION_ERROR, R.WORKER_ERROR, R.STREAM_BROKEN, R.INVALID_RESPONSE, R.TOO_LARGE},
}
"""Which reasons set which bit of a degraded result."""

FOREVER = 1 << 62
ENOUGH = 5  # answers for each endpoint: what is known of one is worth something then
SAVED = 10  # hedges, at most

OF_THE_REQUEST = (Code.INVALID_ARGUMENT, Code.NOT_FOUND)
REFUSED = (R.BREAKER_OPEN, R.OVERLOAD, R.RATE_LIMIT)


def check_request(request: Request, report: Report, plan: Plan, ended: int, ledger: Ledger) -> None:
    """It was on time, its account adds up, and it is the one that the replicas would give."""
    total = min(t for t in (request.remaining, plan.latency, 10 * SECOND) if t is not None)
    stop = total - min(plan.merge_reserve, total // 4)
    assert ended - request.arrived <= stop, f"replied {ended - request.arrived} after it came, of {stop}"
    assert report.elapsed == ended - request.arrived
    _adds_up(plan, report)
    for row, node in zip(report.branches, plan.nodes, strict=True):
        served = ledger.served.get((request.id, row.branch), [])
        _agree(request, report, row, served)
        _ended(request, row, served, write=node.writes, unary=not node.worker.streams)


def _adds_up(plan: Plan, report: Report) -> None:
    """Counts, weights and bits follow from the rows."""
    rows, coverage = report.branches, report.coverage
    assert [row.branch for row in rows] == [node.id for node in plan.nodes]
    states = [sum(row.state is state for row in rows) for state in S]
    writes = {node.id for node in plan.nodes if node.writes}
    left = [row for row in rows if row.state is S.PENDING]
    assert all(row.branch in writes and row.reason in {R.SOFT_TIMEOUT, R.CALLER_GONE} for row in left), (
        "only a write is left behind running"
    )
    assert states == [
        coverage.pending, coverage.succeeded, coverage.defaulted, coverage.fell_back, coverage.skipped,
        coverage.rejected, coverage.timed_out, coverage.failed, coverage.cancelled,
    ]  # fmt: skip
    assert sum(states) == coverage.planned
    assert coverage.started == sum(row.started_after is not None for row in rows)
    ok, total = fsum(row.weight for row in rows if row.state is S.SUCCEEDED), fsum(row.weight for row in rows)
    assert (coverage.weight_ok, coverage.weight_total, coverage.ratio) == (ok, total, ok / total if total else 0.0)
    bits = {bit for bit, reasons in BITS.items() if any(row.reason in reasons for row in rows)}
    bits |= {"defaulted"} if coverage.defaulted else set()
    broken = any(row.merged and row.reason is R.STREAM_BROKEN for row in rows)
    assert set(report.degraded.names()) == bits | ({"partial_branch"} if broken else set())


def _agree(request: Request, report: Report, row: BranchReport, served: list[Served]) -> None:
    """The row names exactly the attempts that were seen, and says the same of each."""
    seen = [(one.number, one.kind, one.endpoint, one.began - request.arrived) for one in served]
    assert [(a.number, a.kind, a.endpoint, a.started_after) for a in row.attempts] == seen, f"{row}\n{served}"
    assert row.started_after == (served[0].began - request.arrived if served else None)
    over = request.arrived + report.elapsed
    for told, one in zip(row.attempts, served, strict=True):
        _attempt(told, one, over)
    won = [told.number for told in row.attempts if told.won]
    assert len(won) == (row.state is S.SUCCEEDED), f"{won} won, and the branch is {row.state.name}"
    if row.state is S.REJECTED or (row.state is S.DEFAULTED and row.reason in REFUSED):
        assert row.reason in REFUSED
        assert not served, f"refused by {row.reason.name}, and it was called: {served}"
    if row.state is S.TIMED_OUT and row.started_after is not None and row.elapsed is not None:
        assert request.arrived + row.started_after + row.elapsed <= over


def _attempt(told: AttemptReport, one: Served, over: int) -> None:
    """What the report says of an attempt is what its replica saw, up to the end of the request."""
    if one.ended == over and told.cancelled and one.how is not How.ANSWERED:
        return  # in the very instant in which the request was over: the one or the other
    if one.runs or one.ended > over or one.how in {How.CUT, How.CANCELLED}:
        assert told.cancelled, f"it was cancelled, and the report does not say so: {told} {one}"
        assert told.code == Code.CANCELLED
        return
    assert not told.cancelled, f"it ended by itself: {told} {one}"
    assert told.elapsed == one.ended - one.began
    assert told.code == (0 if one.fault is None else one.fault.code)


def _ended(request: Request, row: BranchReport, served: list[Served], *, write: bool, unary: bool) -> None:
    """When a branch is over nothing of it runs, and how it ended is how the attempt ended that decided it."""
    if row.started_after is None or row.elapsed is None:
        return
    over = request.arrived + row.started_after + row.elapsed
    for one in served:
        if not (write and row.state is S.PENDING):
            assert not one.runs, f"it still runs: {one} {row.state.name}/{row.reason.name} {over}"
            assert one.ended <= over, f"its branch ended at {over}: {one}"
    answered = [one for one in served if one.how is How.ANSWERED and one.ended <= over]
    if row.state is S.SUCCEEDED:
        winner = next(one for one, told in zip(served, row.attempts, strict=True) if told.won)
        assert answered == [winner], "the first good answer wins, and there is no second"
        assert winner.ended == over
        assert row.endpoint == winner.endpoint
    elif unary and row.state is S.FAILED:
        assert not answered, "a good answer was not used"
        fatal = any(one.fault is not None and one.fault.code in OF_THE_REQUEST for one in served)
        assert fatal or all(one.how is not How.CANCELLED for one in served), "a failure has beaten an attempt that flew"
        last = max(one.ended for one in served)
        codes = {one.fault.code for one in served if one.fault is not None and one.ended == last}
        assert row.code in codes, f"it failed by {row.code}, and the last to end by {codes}: {served}"


def check_calm(report: Report) -> None:
    """Nothing was ever wrong: nobody is refused, and nothing fails."""
    wrong = [row for row in report.branches if row.state in {S.REJECTED, S.FAILED} or row.reason in REFUSED]
    assert not wrong, f"all replicas were well: {wrong}"


def check_recovered(request: Request, report: Report) -> None:
    """Everything has been well for longer than a breaker stays open: none refuses, and nothing fails."""
    if request.arrived < TROUBLE + RECOVERY:
        return
    for row in report.branches:
        shut = row.reason is R.BREAKER_OPEN
        assert not shut, f"everything has been well for long, and a breaker is open: {row}"
        assert row.state is not S.FAILED, f"everything has been well for long: {row}"


def check_end(ledger: Ledger, books: Books) -> None:
    """Everything has been well for a minute: every breaker is closed, every endpoint is called, and nothing is owed."""
    for worker, replicas in ledger.replicas.items():
        book, ours = books.of(worker), {replica.address: ledger.at[replica.address] for replica in replicas}
        since = [one for served in ours.values() for one in served if one.began >= TROUBLE]
        if sum(one.how is How.ANSWERED for one in since) >= ENOUGH * len(replicas):
            assert {one.endpoint for one in since} == set(ours), f"an endpoint of {worker} is never called again"
        for replica in replicas:
            breaker, served = book.endpoint(replica.address).breaker, ours[replica.address]
            closed = breaker.state is State.CLOSED or not since  # a plan may use a worker in no branch
            assert closed, f"{replica.address}: stuck {breaker.state.name} after {OPEN_MAX} ns of open"
            assert all(not one.runs for one in served)
            cut = sum(one.how in {How.CUT, How.CANCELLED} for one in served)
            assert replica.cancelled == cut, f"{cut} calls were cancelled, {replica.address} saw {replica.cancelled}"
        assert 0 <= book.hedges.tokens <= SAVED

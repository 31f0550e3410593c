from __future__ import annotations

from enum import IntEnum

import pytest

from fanmesh.model import states
from fanmesh.model.completion import CompletionRule, Until, UntilKind
from fanmesh.model.coverage import Coverage, Degraded, Tally, cover, degraded, leaf_tallies
from fanmesh.model.endings import at_exclusion, at_verdict, with_default
from fanmesh.model.fault import Code, Fault, FaultKind
from fanmesh.model.outcome import Outcome, Part, Success
from fanmesh.model.report import BranchReport, Report
from fanmesh.model.states import BranchReason, BranchState, CompletedBy, IfMissing
from fanmesh.model.times import MS, SECOND, ms, seconds
from fanmesh.model.usage import NOTHING, Usage
from fanmesh.v1 import aggregator_pb2, report_pb2, worker_pb2

C, R, S = CompletedBy, BranchReason, BranchState

TWINS = {
    states.BranchState: report_pb2.BranchState,
    states.BranchReason: report_pb2.BranchReason,
    states.CompletedBy: report_pb2.CompletedBy,
    states.AggregatorMode: report_pb2.AggregatorMode,
    states.AttemptKind: report_pb2.AttemptKind,
    states.PartMode: worker_pb2.PartMode,
    states.EmitMode: aggregator_pb2.EmitMode,
    states.IfMissing: aggregator_pb2.IfMissing,
    states.ChangeKind: aggregator_pb2.ChangeKind,
    states.AlarmKind: aggregator_pb2.AlarmKind,
    states.Gather: aggregator_pb2.Gather,
    states.OnFailure: aggregator_pb2.OnFailure,
}


@pytest.mark.parametrize("ours", TWINS, ids=lambda ours: ours.__name__)
def test_enums_carry_the_numbers_of_their_protobuf_twins(ours: type[IntEnum]) -> None:
    """Same names, same numbers, none missing on either side; zero is unspecified there and at most NONE here."""
    twin = TWINS[ours]
    prefix = "".join(f"_{c}" if c.isupper() else c.upper() for c in ours.__name__).lstrip("_") + "_"
    theirs = {name.removeprefix(prefix): number for name, number in twin.items() if number}
    assert {member.name: int(member) for member in ours if member} == theirs


def test_every_enum_of_states_has_a_twin() -> None:
    """A new enum that crosses the wire is not forgotten by the test above."""
    assert {one for one in vars(states).values() if isinstance(one, type) and issubclass(one, IntEnum)} == {*TWINS, IntEnum}


def test_codes_are_those_of_grpc() -> None:
    """The seventeen status codes, without a gap."""
    assert [int(code) for code in Code] == list(range(17))


def test_coverage_counts_branches_and_weighs_them() -> None:
    """Every state in its own column; outside the denominator only what the plan itself excluded."""
    tallies = [Tally(state, R.NONE, 2.0, started=True) for state in S]
    tallies += [Tally(S.SKIPPED, R.CONDITION, 5.0, started=False), Tally(S.SKIPPED, R.ROLLOUT, 5.0, started=False)]
    expected = Coverage(4 / 18, 4.0, 18.0, 11, 9, 1, 1, 1, 1, 1, 3, 1, 1, 1)
    assert cover(tallies) == expected
    assert cover([]) == Coverage()


@pytest.mark.parametrize(
    ("answered", "missing", "ratio", "total"),
    [
        ([0.3, 0.3, 0.3], [0.1], 0.9, 1.0),
        ([0.1] * 3, [], 1.0, 0.3),
        ([0.1] * 9, [0.1], 0.9, 1.0),
        ([0.7, 1, 0.1], [0.2], 0.9, 2.0),
        ([0.1, 0.2], [1e-300], 1.0, 0.3),
        ([3, 4.0], [3.0], 0.7, 10.0),
        ([0.0], [0.0], 0.0, 0.0),
    ],
)
def test_coverage_is_of_the_decimals_people_wrote(
    answered: list[float], missing: list[float], ratio: float, total: float
) -> None:
    """Rounded once, at the end, so that nine of ten are 0.9 and not a bit less, in whatever order they stand."""
    tallies = [Tally(S.SUCCEEDED, R.NONE, weight, started=True) for weight in answered]
    tallies += [Tally(S.FAILED, R.WORKER_ERROR, weight, started=True) for weight in missing]
    for order in (tallies, tallies[::-1]):
        found = cover(order)
        assert (found.ratio, found.weight_total) == (ratio, total)
        assert type(found.ratio) is type(found.weight_ok) is float


def test_leaves_share_the_weight_of_their_node_exactly() -> None:
    """Nine of ten items, or six of seven, whatever the node weighs: a share is not rounded."""
    for weight in (1.0, 0.3, 7.0):
        for count in range(1, 50):
            leaves = [(S.SUCCEEDED, R.NONE, True)] * (count - 1) + [(S.FAILED, R.WORKER_ERROR, True)]
            found = cover(leaf_tallies(leaves, count, weight, S.SUCCEEDED, R.NONE))
            assert (found.ratio, found.weight_total) == ((count - 1) / count, weight)


def test_degraded_bits_are_not_exclusive() -> None:
    """A default keeps the bit of its reason and adds its own; kept parts add theirs; success sets none."""
    bits = degraded(
        [
            (S.SUCCEEDED, R.NONE, False),
            (S.DEFAULTED, R.SOFT_TIMEOUT, False),
            (S.FAILED, R.STREAM_BROKEN, True),
            (S.CANCELLED, R.COMPLETION_MET, False),
        ]
    )
    assert bits.names() == ("soft_timeout", "defaulted", "error", "partial_branch")
    assert bits
    assert not degraded([(S.SUCCEEDED, R.NONE, False)])
    assert degraded([]) == Degraded()


@pytest.mark.parametrize(
    ("by", "started", "soft_passed", "expected"),
    [
        (C.HARD_TIMEOUT, True, True, (S.TIMED_OUT, R.REQUEST_DEADLINE)),
        (C.HARD_TIMEOUT, False, True, (S.SKIPPED, R.NOT_STARTED_NO_TIME)),
        (C.CALLER_GONE, True, True, (S.CANCELLED, R.CALLER_GONE)),
        (C.CALLER_GONE, False, False, (S.CANCELLED, R.CALLER_GONE)),
        (C.SOFT_TIMEOUT, True, True, (S.CANCELLED, R.SOFT_TIMEOUT)),
        (C.ALL, False, True, (S.SKIPPED, R.SOFT_TIMEOUT)),
        (C.FIRST, True, False, (S.CANCELLED, R.COMPLETION_MET)),
        (C.UNREACHABLE, False, False, (S.SKIPPED, R.COMPLETION_MET)),
    ],
)
def test_a_verdict_ends_what_has_not_ended(
    by: CompletedBy, *, started: bool, soft_passed: bool, expected: tuple[BranchState, BranchReason]
) -> None:
    """The lower half of the table of endings."""
    assert at_verdict(by, started=started, soft_passed=soft_passed) == expected


@pytest.mark.parametrize("state", S)
@pytest.mark.parametrize("reason", R)
def test_defaults_stand_in_only_where_something_is_missing(state: BranchState, reason: BranchReason) -> None:
    """Never for a success or a branch that still runs, nor where it was left out on purpose, nor unless asked for."""
    missing = state not in (S.SUCCEEDED, S.FELL_BACK, S.DEFAULTED, S.PENDING)
    wanted = reason not in (R.CONDITION, R.ROLLOUT, R.COMPLETION_MET, R.CALLER_GONE, R.LATE)
    assert with_default(state, reason, IfMissing.USE) is (S.DEFAULTED if missing and wanted else state)
    assert with_default(state, reason, IfMissing.SKIP) is state
    assert with_default(state, reason, IfMissing.FAIL) is state


def test_an_exclusion_is_a_failure_only_for_a_required_condition_error() -> None:
    """Everything else is SKIPPED."""
    assert at_exclusion(R.CONDITION_ERROR, must=True) is S.FAILED
    assert at_exclusion(R.CONDITION_ERROR, must=False) is S.SKIPPED
    assert at_exclusion(R.BUDGET, must=True) is S.SKIPPED


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (Fault.invalid_argument, Code.INVALID_ARGUMENT),
        (Fault.not_found, Code.NOT_FOUND),
        (Fault.failed_precondition, Code.FAILED_PRECONDITION),
        (Fault.permission_denied, Code.PERMISSION_DENIED),
        (Fault.unavailable, Code.UNAVAILABLE),
        (Fault.resource_exhausted, Code.RESOURCE_EXHAUSTED),
        (Fault.internal, Code.INTERNAL),
    ],
)
def test_a_workers_fault_says_its_code(make: object, code: Code) -> None:
    """Only UNAVAILABLE invites another attempt; it can be raised, compared, printed and hashed."""
    fault = make("ip")  # type: ignore[operator]
    assert (fault.kind, fault.code, fault.retryable) == (FaultKind.WORKER_ERROR, code, code is Code.UNAVAILABLE)
    assert (str(fault), fault.args) == (f"{code.name}: ip", (FaultKind.WORKER_ERROR, code, "ip"))
    assert fault == make("ip")  # type: ignore[operator]
    assert len({fault, fault}) == 1
    with pytest.raises(Fault, match="ip"):
        raise fault


def test_pushback_travels_with_resource_exhausted() -> None:
    """Milliseconds; negative = do not retry. Without detail the code alone is printed."""
    assert Fault.resource_exhausted("full", retry_after_ms=-1).retry_after == -1
    assert str(Fault.unavailable()) == "UNAVAILABLE"


def test_a_report_finds_its_rows() -> None:
    """By branch; an unknown one lists what there is. `missing` leaves out what the plan did not want."""
    rows = (
        BranchReport("a", "w", S.SUCCEEDED),
        BranchReport("b", "w", S.DEFAULTED),
        BranchReport("c", "w", S.SKIPPED, R.CONDITION),
    )
    report = Report("r", "p", C.ALL, Coverage(), rows)
    assert report["b"] is rows[1]
    assert report.missing == ("b",)
    with pytest.raises(KeyError, match="no branch 'z'; there are a, b, c"):
        report["z"]


def test_usage_adds_up() -> None:
    """Each amount by itself; nothing is falsy."""
    assert Usage(1, 2, 3) + Usage(10, 20, 30) == Usage(11, 22, 33)
    assert Usage(cost_usd_micros=1)
    assert not NOTHING


def test_an_outcome_is_a_success_or_a_fault() -> None:
    """A value either way; what a success does not say is nothing."""
    success: Outcome = Success("x")
    assert success == ("x", None, NOTHING, None, False, None)
    assert Part("x", replace=True, seq=0).confidence is None


def test_times_are_whole_nanoseconds() -> None:
    """Rounded once, at the edge."""
    assert (ms(1.5), ms(0.1), seconds(1_500 * MS), SECOND) == (1_500_000, 100_000, 1.5, 1000 * MS)


def test_which_rules_look_at_parts() -> None:
    """Those that go by what has come; counts go by answers alone."""
    looking = {UntilKind.PREDICATE, UntilKind.CONFIDENCE, UntilKind.QUIET}
    for kind in UntilKind:
        assert CompletionRule((Until(UntilKind.ALL), Until(kind, 1))).looks_at_parts is (kind in looking)

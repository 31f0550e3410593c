from __future__ import annotations

import pytest

from fanmesh.model.completion import Until, UntilKind
from fanmesh.model.events import Arm, FoldNode, Verdict
from fanmesh.model.states import AlarmKind, BranchReason, BranchState, CompletedBy, IfMissing
from fanmesh.model.times import MS
from tests.kit.logs import Story, grace, rule

C, K, R, S = CompletedBy, UntilKind, BranchReason, BranchState


def test_all_completes_with_the_last_ending() -> None:
    """`until: all` waits for every branch and is named ALL."""
    story = Story("a", "b")
    story.start("a", "b")
    assert story.ok("a", 10) == []
    story.ok("b", 20)
    assert story.verdict == Verdict(C.ALL, 5, 20 * MS, accepted=True)
    assert story.result.value == {"a": "a", "b": "b"}
    assert story.result.merged == ("a", "b")


def test_first_completes_with_one_success_and_not_with_a_failure() -> None:
    """`until: first` needs a success."""
    story = Story("a", "b", "c", completion=rule(K.FIRST))
    story.start("a", "b", "c")
    assert story.fail("a", 10) == []
    story.ok("b", 20)
    assert story.verdict.completed_by is C.FIRST
    assert story.state("c") == (S.CANCELLED, R.COMPLETION_MET)


def test_count_completes_with_n_successes() -> None:
    """`until: count` counts successes, FELL_BACK included, and no defaults."""
    story = Story("a", FoldNode("b", if_missing=IfMissing.USE, default=0), "c", "d", completion=rule(Until(K.COUNT, 2)))
    story.ok("a", 10)
    assert story.fail("b", 20) == []
    story.fail("c", 30, S.FELL_BACK, R.NONE)
    assert story.verdict.completed_by is C.COUNT
    assert story.state("d") == (S.SKIPPED, R.COMPLETION_MET)


def test_required_completes_when_every_required_branch_has_answered() -> None:
    """`until: required` leaves the optional ones behind; `if_missing: fail` counts as required."""
    story = Story(FoldNode("a", required=True), FoldNode("b", if_missing=IfMissing.FAIL), "c", completion=rule(K.REQUIRED))
    story.start("a", "b", "c")
    assert story.ok("a", 10) == []
    story.ok("b", 20)
    assert story.verdict.completed_by is C.REQUIRED


def test_required_without_required_branches_degrades_to_all() -> None:
    """An `until` that nothing can meet does not fire on the empty set; it becomes `all`."""
    story = Story("a", "b", completion=rule(K.REQUIRED, min_success=0))
    assert story.ok("a", 10) == []
    story.ok("b", 20)
    assert story.verdict.completed_by is C.ALL


def test_count_beyond_reach_degrades_to_all() -> None:
    """A count that can no longer be reached does not fail a request whose floor holds."""
    story = Story("a", "b", completion=rule(Until(K.COUNT, 2)))
    story.ok("a", 10)
    story.fail("b", 20)
    assert story.verdict == Verdict(C.ALL, 3, 20 * MS, accepted=True)


def test_first_rule_in_the_list_names_the_verdict() -> None:
    """Of two rules that hold at once the one written first is named."""
    for order, name in (((K.FIRST, Until(K.COUNT, 1)), C.FIRST), ((Until(K.COUNT, 1), K.FIRST), C.COUNT)):
        story = Story("a", "b", completion=rule(*order))
        story.ok("a", 10)
        assert story.verdict.completed_by is name


def test_nothing_to_run_is_empty_at_once() -> None:
    """Every branch skipped by the plan itself: EMPTY, not accepted, no value."""
    story = Story("a", "b", "c", completion=rule(min_success=0))
    assert story.exclude("a", R.CONDITION) == []
    assert story.exclude("b", R.ROLLOUT) == []
    story.exclude("c", R.CONDITION_ERROR)
    assert story.verdict == Verdict(C.EMPTY, 4, 0, accepted=False)
    assert story.result.value is None
    assert story.coverage.ratio == 0


def test_a_plan_without_branches_is_empty() -> None:
    """The empty set completes at once, and not as a success."""
    assert Story().verdict == Verdict(C.EMPTY, 1, 0, accepted=False)


def test_a_default_for_a_failed_condition_is_not_empty() -> None:
    """A branch whose `if` failed and whose default stands in is something."""
    story = Story(FoldNode("a", if_missing=IfMissing.USE, default=7), completion=rule(min_success=0))
    story.exclude("a", R.CONDITION_ERROR)
    assert story.verdict.completed_by is C.ALL
    assert story.result.value == {"a": 7}
    assert story.state("a") == (S.DEFAULTED, R.CONDITION_ERROR)


@pytest.mark.parametrize("node", [FoldNode("a", required=True), FoldNode("a", if_missing=IfMissing.FAIL)])
def test_a_required_failure_is_unreachable_at_once(node: FoldNode) -> None:
    """The floor cannot hold any more: nobody waits for the others."""
    story = Story(node, "b")
    story.start("a", "b")
    story.fail("a", 10)
    assert story.verdict == Verdict(C.UNREACHABLE, 4, 10 * MS, accepted=False)
    assert story.result.value is None
    assert story.state("b") == (S.CANCELLED, R.COMPLETION_MET)


def test_too_few_successes_left_is_unreachable() -> None:
    """`min_success` beyond what can still succeed."""
    story = Story("a", "b", completion=rule(min_success=2))
    story.fail("a", 10)
    assert story.verdict.completed_by is C.UNREACHABLE
    assert Story("a", completion=rule(min_success=2)).verdict == Verdict(C.UNREACHABLE, 1, 0, accepted=False)


def test_too_little_coverage_left_is_unreachable() -> None:
    """`min_coverage` beyond what can still be covered; exactly met is met."""
    story = Story(FoldNode("a", weight=0.3), FoldNode("b", weight=0.7), completion=rule(min_coverage=0.7))
    assert story.fail("a", 10) == []
    story.ok("b", 20)
    assert story.verdict.accepted
    story = Story(FoldNode("a", weight=0.3), FoldNode("b", weight=0.7), completion=rule(min_coverage=0.7))
    story.fail("b", 10)
    assert story.verdict.completed_by is C.UNREACHABLE


def test_nine_tenths_of_decimal_weights_are_nine_tenths() -> None:
    """Ten weights of 0.1: nine of them are 0.9, although the floats do not add up to it."""
    names = [f"n{i}" for i in range(10)]
    story = Story(*(FoldNode(name, weight=0.1) for name in names), completion=rule(Until(K.COVERAGE, 0.9)))
    for name in names[:8]:
        assert story.ok(name, 10) == []
    story.ok(names[8], 20)
    assert story.verdict.completed_by is C.COVERAGE


def test_a_required_branch_that_the_plan_excludes_is_not_missed() -> None:
    """`required` binds only a branch that was to run; outside the denominator too."""
    story = Story(FoldNode("a", required=True), "b", completion=rule(min_coverage=1.0))
    story.exclude("a", R.CONDITION)
    story.ok("b", 10)
    assert story.verdict.accepted
    assert story.coverage.ratio == 1
    assert story.state("a") == (S.SKIPPED, R.CONDITION)


def test_a_required_condition_that_fails_is_a_failure() -> None:
    """Required, and its `if` cannot be evaluated: FAILED, and the floor is lost."""
    story = Story(FoldNode("a", required=True), "b")
    story.exclude("a", R.CONDITION_ERROR)
    assert story.state("a") == (S.FAILED, R.CONDITION_ERROR)
    assert story.verdict.completed_by is C.UNREACHABLE


def test_branches_past_their_soft_timeout_are_not_waited_for() -> None:
    """When nobody is waited for any more and the floor holds: SOFT_TIMEOUT, at the soft timeout itself."""
    story = Story("a", FoldNode("b", soft=100 * MS))
    story.start("a")
    story.start("b", at=50)
    story.ok("a", 60)
    assert story.alarm(AlarmKind.BRANCH_SOFT, 149, "b") == []
    story.alarm(AlarmKind.BRANCH_SOFT, 151, "b")
    assert story.verdict == Verdict(C.SOFT_TIMEOUT, 5, 150 * MS, accepted=True)
    assert story.state("b") == (S.CANCELLED, R.SOFT_TIMEOUT)


def test_a_branch_past_its_soft_timeout_is_used_if_it_answers_in_time() -> None:
    """It goes on, and it counts while the request lasts."""
    story = Story("a", FoldNode("b", soft=100 * MS), FoldNode("c", soft=90 * MS))
    story.start("a", "b", "c")
    story.alarm(AlarmKind.BRANCH_SOFT, 100, "b")
    story.ok("b", 110)
    story.fail("c", 111)
    story.ok("a", 120)
    assert story.verdict == Verdict(C.ALL, 8, 120 * MS, accepted=True)
    assert story.result.value == {"a": "a", "b": "b"}


def test_required_branches_have_no_soft_timeout() -> None:
    """`required` is waited for until it ends."""
    story = Story("a", FoldNode("b", required=True, soft=100 * MS))
    story.start("a", "b")
    story.ok("a", 10)
    assert story.alarm(AlarmKind.BRANCH_SOFT, 500, "b") == []
    story.ok("b", 600)
    assert story.verdict.completed_by is C.ALL


def test_a_required_branch_is_never_left_behind_at_a_soft_timeout() -> None:
    """When another one's failure ends the request, its own soft timeout, long past, is not the reason."""
    story = Story(FoldNode("a", required=True), FoldNode("b", required=True, soft=100 * MS))
    story.start("a", "b")
    story.fail("a", 200)
    assert story.state("b") == (S.CANCELLED, R.COMPLETION_MET)


def test_the_plans_soft_timeout_completes_once_the_floor_holds() -> None:
    """It is sticky: passed without the floor, the first moment the floor holds completes."""
    story = Story(FoldNode("a", required=True), "b", "c", completion=rule(soft=300))
    story.start("a", "b")
    assert story.alarm(AlarmKind.PLAN_SOFT, 300) == []
    assert story.ok("b", 400) == []
    story.ok("a", 450)
    assert story.verdict == Verdict(C.SOFT_TIMEOUT, 6, 450 * MS, accepted=True)
    assert story.state("c") == (S.SKIPPED, R.SOFT_TIMEOUT)


def test_a_late_timer_changes_nothing() -> None:
    """An ending at 310 ms shows that the soft timeout of 300 ms had passed: the verdict is of 300 ms, without the ending."""
    story = Story("a", "b", completion=rule(soft=300))
    story.start("a", "b")
    story.ok("a", 100)
    story.ok("b", 310)
    assert story.verdict == Verdict(C.SOFT_TIMEOUT, 4, 300 * MS, accepted=True)
    assert story.result.value == {"a": "a"}
    assert story.fold.late == 1
    assert story.ok("b", 320) == []
    assert story.alarm(AlarmKind.STOP, 1000) == []
    assert story.fold.late == 2


def test_at_one_instant_endings_come_before_softs() -> None:
    """An ending at the very instant of a soft timeout is still in time; the alarm of that instant comes after it."""
    story = Story("a", "b", "c", completion=rule(soft=300))
    story.start("a", "b", "c")
    story.ok("a", 100)
    assert story.ok("b", 300) == []
    story.alarm(AlarmKind.PLAN_SOFT, 300)
    assert story.verdict == Verdict(C.SOFT_TIMEOUT, 6, 300 * MS, accepted=True)
    assert story.result.merged == ("a", "b")


def test_at_one_instant_stop_comes_before_endings() -> None:
    """An ending at the very instant of stop is late."""
    story = Story("a", "b", stop=500)
    story.start("a", "b")
    story.ok("a", 100)
    story.ok("b", 500)
    assert story.verdict == Verdict(C.HARD_TIMEOUT, 4, 500 * MS, accepted=True)
    assert story.state("b") == (S.TIMED_OUT, R.REQUEST_DEADLINE)
    assert story.result.merged == ("a",)


def test_at_one_instant_stop_comes_before_softs() -> None:
    """A soft timeout at stop does not soften it."""
    story = Story("a", "b", stop=500, completion=rule(soft=500))
    story.start("a")
    story.ok("a", 100)
    story.alarm(AlarmKind.PLAN_SOFT, 500)
    assert story.verdict.completed_by is C.HARD_TIMEOUT
    assert story.state("b") == (S.SKIPPED, R.NOT_STARTED_NO_TIME)


def test_softs_before_stop_are_fired_at_their_own_time() -> None:
    """One event after both: the soft timeout came first, and it decided."""
    story = Story("a", "b", stop=500, completion=rule(soft=300))
    story.start("a", "b")
    story.ok("a", 100)
    story.alarm(AlarmKind.STOP, 600)
    assert story.verdict == Verdict(C.SOFT_TIMEOUT, 4, 300 * MS, accepted=True)


def test_stop_without_the_floor_is_not_accepted() -> None:
    """The deadline ends the request either way; without the floor there is no result."""
    story = Story(FoldNode("a", required=True), "b", stop=500)
    story.start("a", "b")
    story.ok("b", 10)
    story.alarm(AlarmKind.STOP, 500)
    assert story.verdict == Verdict(C.HARD_TIMEOUT, 4, 500 * MS, accepted=False)
    assert (story.result.value, story.coverage.ratio) == (None, 0.5)


def test_defaults_that_come_in_at_stop_hold_the_floor() -> None:
    """A required branch that is cut by stop and has a default has done its duty."""
    story = Story(FoldNode("a", required=True, if_missing=IfMissing.USE, default="?"), "b", stop=500)
    story.start("a", "b")
    story.ok("b", 10)
    story.alarm(AlarmKind.STOP, 500)
    assert story.verdict == Verdict(C.HARD_TIMEOUT, 4, 500 * MS, accepted=True)
    assert story.state("a") == (S.DEFAULTED, R.REQUEST_DEADLINE)
    assert story.result.value == {"a": "?", "b": "b"}


def test_a_request_without_time_ends_at_once() -> None:
    """Stop is not after the start: the first rule comes before all others, EMPTY included."""
    assert Story(stop=0).verdict == Verdict(C.HARD_TIMEOUT, 1, 0, accepted=False)


def _nine_of_ten(until: Until, **rest: object) -> Story:
    names = [f"n{i}" for i in range(10)]
    story = Story(*names, stop=500, completion=rule(until, **rest))
    story.start(*names)
    for name in names[:9]:
        story.ok(name, 100)
    return story


def test_grace_waits_a_share_of_the_remaining_time() -> None:
    """9 of 10 at 100 ms of 500 ms with 0.2/0.3 returns at 180 ms; the wish for the alarm is uttered once."""
    story = _nine_of_ten(Until(K.COVERAGE, 0.9), grace=grace(0.2, 0.3))
    assert story.arms == [Arm(AlarmKind.GRACE, 180 * MS)]
    assert story.alarm(AlarmKind.GRACE, 179) == []
    story.alarm(AlarmKind.GRACE, 180)
    assert story.verdict == Verdict(C.COVERAGE, 21, 180 * MS, accepted=True)


@pytest.mark.parametrize(("answered", "others", "due"), [(9.0, 1, 180), (7.0, 3, 200), (5.0, 5, 220)])
def test_grace_grows_with_what_is_missing(answered: float, others: int, due: int) -> None:
    """Only the lightest branch missing: the least share. As much as coverage allows: the largest. Half-way: half-way."""
    names = [f"n{i}" for i in range(others)]
    terms = rule(Until(K.COVERAGE, 0.5), grace=grace(0.2, 0.3))
    story = Story(FoldNode("heavy", weight=answered), *names, stop=500, completion=terms)
    story.ok("heavy", 100)
    assert story.arms == [Arm(AlarmKind.GRACE, due * MS)]


def test_grace_is_fixed_when_coverage_is_first_met_and_cut_short_by_the_last_ending() -> None:
    """More coverage changes nothing; nothing pending completes at once, and by COVERAGE."""
    story = Story("a", "b", "c", completion=rule(Until(K.COVERAGE, 0.3), grace=grace(0.5, 0.5)))
    assert story.ok("a", 200) == [Arm(AlarmKind.GRACE, 600 * MS)]
    assert story.ok("b", 300) == []
    story.ok("c", 400)
    assert story.verdict == Verdict(C.COVERAGE, 4, 400 * MS, accepted=True)


def test_grace_runs_while_the_floor_does_not_hold() -> None:
    """Coverage met without the floor starts the wait; after it the floor completes at once."""
    story = Story(FoldNode("a", required=True), "b", "c", completion=rule(Until(K.COVERAGE, 0.3), grace=grace(0.1, 0.1)))
    assert story.ok("b", 100) == [Arm(AlarmKind.GRACE, 190 * MS)]
    assert story.alarm(AlarmKind.GRACE, 190) == []
    story.ok("a", 300)
    assert story.verdict == Verdict(C.COVERAGE, 4, 300 * MS, accepted=True)


def test_coverage_without_grace_completes_at_once() -> None:
    """A wait of nothing is no wait."""
    story = _nine_of_ten(Until(K.COVERAGE, 0.9))
    assert story.arms == []
    assert story.verdict == Verdict(C.COVERAGE, 20, 100 * MS, accepted=True)


def test_the_lowest_of_two_coverage_rules_counts() -> None:
    """It is met first, so it fires first."""
    story = Story("a", "b", "c", completion=rule(Until(K.COVERAGE, 0.9), Until(K.COVERAGE, 0.3)))
    story.ok("a", 10)
    assert story.verdict.completed_by is C.COVERAGE


def test_weightless_branches_cover_nothing() -> None:
    """0/0 = 0, so that a share above nothing is never reached by it."""
    story = Story(FoldNode("a", weight=0), completion=rule(Until(K.COVERAGE, 0.5)))
    story.ok("a", 10)
    assert story.verdict.completed_by is C.ALL
    assert Story(FoldNode("a", weight=0), completion=rule(min_coverage=0.5)).verdict.completed_by is C.UNREACHABLE


def test_weightless_branches_do_not_lengthen_the_grace() -> None:
    """A pending branch of no weight is the lightest; no room between the weights is the shortest share."""
    nodes = (FoldNode("a"), FoldNode("b", weight=0), FoldNode("c", weight=0))
    story = Story(*nodes, stop=500, completion=rule(Until(K.COVERAGE, 1.0), grace=grace(0.2, 0.3)))
    story.ok("a", 100)
    assert story.arms == [Arm(AlarmKind.GRACE, 180 * MS)]

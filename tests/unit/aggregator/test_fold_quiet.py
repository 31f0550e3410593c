"""`until: {quiet: d}`: nothing new for so long."""

from __future__ import annotations

import pytest

from fanmesh.model.completion import CompletionRule, Until, UntilKind
from fanmesh.model.events import Arm, End, FoldNode, Verdict
from fanmesh.model.states import AlarmKind, BranchReason, BranchState, CompletedBy, EmitMode, IfMissing
from fanmesh.model.times import MS
from tests.kit.logs import Story, rule

A, C, K, R, S = AlarmKind, CompletedBy, UntilKind, BranchReason, BranchState


def quiet(ms: int, **rest: object) -> CompletionRule:
    """`until: {quiet: …}`."""
    return rule(Until(K.QUIET, ms * MS), **rest)  # type: ignore[arg-type]  # passed on as they are


def test_it_completes_when_nothing_has_come_for_so_long() -> None:
    """Counted from the last answer, and at that very time, though the alarm is late."""
    story = Story("a", "b", "c", completion=quiet(50))
    story.start("a", "b", "c")
    assert story.ok("a", 100) == [Arm(A.QUIET, 150 * MS)]
    assert story.ok("b", 140) == []
    assert story.alarm(A.QUIET, 150) == [Arm(A.QUIET, 190 * MS)]
    story.alarm(A.QUIET, 200)
    assert story.verdict == Verdict(C.QUIET, 7, 190 * MS, accepted=True)
    assert story.result.value == {"a": "a", "b": "b"}
    assert story.state("c") == (S.CANCELLED, R.COMPLETION_MET)


def test_it_is_never_quiet_with_nothing() -> None:
    """Before the first answer no clock runs, even if nothing is needed; failures are no answers."""
    story = Story("a", "b", completion=quiet(50, min_success=0))
    story.start("a", "b")
    assert story.fail("a", 400) == []
    assert story.alarm(A.BRANCH_SOFT, 900) == []
    assert story.ok("b", 950)[0] == Verdict(C.ALL, 6, 950 * MS, accepted=True)


def test_the_clock_runs_before_the_floor_holds() -> None:
    """It has been quiet for long enough when the floor comes to hold without an answer: complete at once."""
    story = Story("a", FoldNode("b", required=True), "c", completion=quiet(50))
    story.start("a", "c")
    story.ok("a", 10)
    assert story.alarm(A.QUIET, 60) == []
    story.exclude("b", R.CONDITION, 70)
    assert story.verdict == Verdict(C.QUIET, 6, 70 * MS, accepted=True)


def test_what_makes_the_floor_hold_starts_the_clock_anew() -> None:
    """An answer is news, whatever else it means."""
    story = Story("a", FoldNode("b", required=True), "c", completion=quiet(50))
    story.start("a", "b", "c")
    story.ok("a", 10)
    assert story.alarm(A.QUIET, 60) == []
    assert story.ok("b", 70) == [Arm(A.QUIET, 120 * MS)]
    story.alarm(A.QUIET, 120)
    assert story.verdict.at == 120 * MS


def test_a_part_is_news_and_a_repeated_one_is_not() -> None:
    """Parts of running streams count; what was dropped as a duplicate has not come."""
    story = Story("a", "s", completion=quiet(50))
    story.start("a", "s")
    assert story.ok("a", 10) == [Arm(A.QUIET, 60 * MS)]
    assert story.part("s", 30, [1], 0) == []
    assert story.part("s", 40, [1], 0) == []
    story.alarm(A.QUIET, 60)
    assert story.arms[-1] == Arm(A.QUIET, 80 * MS)
    story.alarm(A.QUIET, 80)
    assert story.verdict.at == 80 * MS


def test_a_default_is_news_and_a_failure_is_not() -> None:
    """What changes the merged value starts the clock anew, and nothing else does."""
    story = Story("a", "b", FoldNode("d", if_missing=IfMissing.USE, default=0), "c", completion=quiet(50))
    story.start("a", "b", "c", "d")
    story.ok("a", 10)
    story.fail("b", 30)
    assert story.fail("d", 40) == []
    story.alarm(A.QUIET, 60)
    assert story.arms == [Arm(A.QUIET, 60 * MS), Arm(A.QUIET, 90 * MS)]


def test_a_stream_that_fails_is_no_news() -> None:
    """Neither where its parts go with it nor where they are kept: nothing has come that was not there."""
    for reason, left in ((R.WORKER_ERROR, {"a": "a"}), (R.STREAM_BROKEN, {"a": "a", "s": [1]})):
        story = Story("a", "s", "b", completion=quiet(50))
        story.start("a", "s", "b")
        story.ok("a", 10)
        story.part("s", 20, [1], 0)
        story.add(40, End("s", 0, S.FAILED, reason, streamed=True))
        story.alarm(A.QUIET, 60)
        story.alarm(A.QUIET, 70)
        assert (story.verdict.at, story.result.value) == (70 * MS, left)


def test_one_alarm_is_on_its_way_however_many_parts_come() -> None:
    """Ten thousand parts in a row arm it once per `quiet`, and not ten thousand times."""
    story = Story("a", "s", completion=quiet(50))
    story.start("a", "s")
    story.ok("a", 0)
    for seq in range(500):
        story.part("s", 1 + seq / 2, [seq], seq)
        if seq % 100 == 99:
            story.alarm(A.QUIET, 1 + seq / 2)
    assert len(story.arms) == 6


def test_at_one_instant_an_answer_comes_before_the_alarm() -> None:
    """An answer at 60 ms is not late for a clock that ends at 60 ms."""
    story = Story("a", "b", "c", completion=quiet(50))
    story.start("a", "b", "c")
    story.ok("a", 10)
    assert story.ok("b", 60) == []
    assert story.alarm(A.QUIET, 60) == [Arm(A.QUIET, 110 * MS)]


def test_at_one_instant_stop_comes_before_the_alarm() -> None:
    """What would be quiet at stop is cut by stop."""
    story = Story("a", "b", completion=quiet(50), stop=60)
    story.start("a", "b")
    story.ok("a", 10)
    story.alarm(A.QUIET, 60)
    assert story.verdict == Verdict(C.HARD_TIMEOUT, 4, 60 * MS, accepted=True)


def test_when_all_have_ended_nobody_waits_for_quiet() -> None:
    """It degrades to `all`."""
    story = Story("a", "b", completion=quiet(50))
    story.ok("a", 10)
    story.fail("b", 20)
    assert story.verdict.completed_by is C.ALL


def test_of_two_the_shorter_counts_and_of_several_rules_the_first_written() -> None:
    """The shorter one is met first; at one instant the order in the list decides."""
    story = Story("a", "b", completion=rule(Until(K.QUIET, 80 * MS), Until(K.QUIET, 50 * MS)))
    story.start("a", "b")
    assert story.ok("a", 10) == [Arm(A.QUIET, 60 * MS)]
    for order, by in (((K.FIRST, Until(K.QUIET, MS)), C.FIRST), ((Until(K.QUIET, MS), Until(K.COUNT, 2)), C.QUIET)):
        story = Story("a", "b", "c", completion=rule(*order))
        story.start("a", "b", "c")
        story.ok("a", 10)
        story.alarm(A.QUIET, 20)
        assert story.verdict.completed_by is by


@pytest.mark.parametrize("emit", [EmitMode.FINAL, EmitMode.SNAPSHOT])
def test_the_parts_of_streams_that_run_are_in_the_result(emit: EmitMode) -> None:
    """What was quiet was their parts: a result without them would not be what the rule found good enough."""
    story = Story(
        "a", "s", "t", "n", FoldNode("d", soft=20 * MS, if_missing=IfMissing.USE, default=[0]), completion=quiet(50), emit=emit
    )
    story.start("a", "s", "t", "n", "d")
    story.ok("a", 10)
    story.part("s", 30, [1], 0)
    story.part("d", 31, [7], 0)
    story.fail("t", 40)
    story.alarm(A.QUIET, 90)
    assert story.result.value == {"a": "a", "s": [1], "d": [7]}
    assert story.result.merged == ("a", "s", "d")
    assert story.state("s") == (S.CANCELLED, R.COMPLETION_MET)
    assert story.state("d") == (S.DEFAULTED, R.SOFT_TIMEOUT)
    assert story.coverage.weight_ok == 1
    if story.updates:
        assert story.updates[-1].read() == (story.result.value, story.coverage)


def test_a_part_that_the_merge_cannot_take_yet_is_left_out() -> None:
    """Half of an answer may not be one: `deep_merge` takes maps, and this stream has given none."""
    story = Story("a", "s", completion=quiet(50), merge="deep_merge")
    story.start("a", "s")
    story.ok("a", 10, {"x": 1})
    story.part("s", 20, [1], 0, replace=True)
    story.alarm(A.QUIET, 70)
    assert (story.result.value, story.result.merged) == ({"x": 1}, ("a",))


def test_a_wish_that_nobody_was_told_is_overtaken_by_the_next() -> None:
    """An event that decides nothing is not answered; until one does, the newest wish of its kind takes the place of others."""
    story = Story("a", "b", "c", completion=quiet(50, min_success=2))
    story.start("a", "b", "c")
    assert story.ok("a", 10) == [Arm(A.QUIET, 60 * MS)]
    assert story.part("b", 40, [1], 0) == []
    assert story.part("b", 70, [1], 0) == []  # a duplicate: the alarm of 60 has moved on to 90
    assert story.part("b", 95, [2], 1) == [Arm(A.QUIET, 145 * MS)]

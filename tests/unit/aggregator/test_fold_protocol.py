from __future__ import annotations

import pytest

from aggregator.engine.badlog import BadLog
from aggregator.engine.fold import Fold
from fanmesh.model.completion import CompletionRule
from fanmesh.model.events import Alarm, Change, End, Event, FoldNode, Happening, PartArrived, Start
from fanmesh.model.merge import MergeSpec
from fanmesh.model.states import AlarmKind, BranchReason, BranchState, ChangeKind, CompletedBy, EmitMode, IfMissing
from fanmesh.model.values import Opaque
from tests.kit.logs import Story, rule

R, S, K = BranchReason, BranchState, ChangeKind


def _start(*nodes: FoldNode, merge: MergeSpec = MergeSpec()) -> Start:
    return Start("r", "p", nodes, 100, 110, CompletionRule(), merge)


def test_the_log_begins_with_a_start() -> None:
    """Anything else first is refused."""
    with pytest.raises(BadLog, match="does not begin"):
        Fold().apply(Event(1, 0, Alarm(AlarmKind.STOP)))


@pytest.mark.parametrize(
    ("start", "why"),
    [
        (_start(FoldNode("a"), FoldNode("a")), "same id"),
        (_start(FoldNode("a", weight=-1.0)), "weight is negative"),
        (_start(FoldNode("a", weight=float("nan"))), "weights must be finite"),
        (_start(FoldNode("a", weight=float("inf"))), "weights must be finite"),
        (_start(FoldNode("a"), merge=MergeSpec("colect")), "did you mean 'collect'"),
        (_start(FoldNode("a", if_missing=IfMissing.USE, default=3), merge=MergeSpec("overlay")), "cannot take a default"),
    ],
)
def test_a_start_that_cannot_be_folded(start: Start, why: str) -> None:
    """A start is checked before anything runs on it."""
    with pytest.raises(BadLog, match=why):
        Fold().apply(Event(1, 0, start))


@pytest.mark.parametrize(
    ("what", "why"),
    [
        (_start(), "second start"),
        (End("z", 0, S.SUCCEEDED), "unknown branch 'z'"),
        (Change("z", K.STARTED), "unknown branch 'z'"),
        (PartArrived("z", 0, 0, replace=False, value=""), "unknown branch 'z'"),
        (End("done", 0, S.SUCCEEDED), "'done' has already ended"),
        (Change("done", K.STARTED), "'done' has already ended"),
        (PartArrived("done", 0, 0, replace=False, value=""), "'done' has already ended"),
        (End("a", 0, S.PENDING), "ends as PENDING"),
        (Change("a", K.EXPANDED), "is one call"),
        (Change("a", K.EXCLUDED), "no fate"),
        (Change("runs", K.EXCLUDED, R.CONDITION), "after it was started"),
        (PartArrived("runs", 0, 1, replace=False, value=2), "runs: the part: a number cannot be appended to a string"),
        (End("a", 0, S.SUCCEEDED, value=Opaque("image/png", b"", is_message=False)), "a is an opaque image/png"),
    ],
)
def test_an_event_that_breaks_the_protocol(what: Happening, why: str) -> None:
    """Whoever writes such a log has a defect, and is told which."""
    story = Story("a", "done", "runs")
    story.ok("done", 1)
    story.start("runs", at=1)
    story.part("runs", 1, "text", 0)
    with pytest.raises(BadLog, match=why):
        story.add(2, what)


def test_time_and_sequence_never_go_back() -> None:
    """`at` may stand still, `seq` may not; a gap in `seq` is a part that was dropped."""
    fold = Fold()
    fold.apply(Event(1, 0, _start(FoldNode("a"), FoldNode("b"))))
    fold.apply(Event(5, 7, Change("a", K.STARTED)))
    fold.apply(Event(6, 7, Change("b", K.PLANNED)))
    with pytest.raises(BadLog, match="time goes back"):
        fold.apply(Event(7, 6, Change("b", K.STARTED)))
    with pytest.raises(BadLog, match="seq 6 after 6"):
        fold.apply(Event(6, 8, Change("b", K.STARTED)))
    with pytest.raises(BadLog, match="time goes back"):
        Fold().apply(Event(1, -1, _start()))


def test_a_second_start_of_a_branch_says_nothing_new() -> None:
    """A soft timeout counts from the first send."""
    story = Story("a", FoldNode("b", soft=100_000_000))
    story.start("a", "b")
    story.start("b", at=50)
    story.ok("a", 60)
    story.alarm(AlarmKind.BRANCH_SOFT, 100, "b")
    assert story.verdict.completed_by is CompletedBy.SOFT_TIMEOUT


def test_an_update_for_each_change_of_the_value_and_none_else() -> None:
    """SNAPSHOT: parts, answers, defaults and withdrawn parts; not starts, plain failures, duplicates, alarms."""
    use = FoldNode("d", if_missing=IfMissing.USE, default="?")
    story = Story("a", "b", "c", use, "e", emit=EmitMode.SNAPSHOT)
    story.start("a", "b", "c", "d", "e")
    assert story.updates == []
    story.part("b", 10, "te", 0)
    assert (len(story.updates), story.fold.snapshot()[0]) == (1, {"b": "te"})
    assert story.part("b", 10, "te", 0) == []
    story.ok("a", 20)
    assert (len(story.updates), story.fold.snapshot()[0]) == (2, {"a": "a", "b": "te"})
    assert story.fail("c", 30) == []
    story.fail("d", 40)
    assert (len(story.updates), story.fold.snapshot()[0]) == (3, {"a": "a", "b": "te", "d": "?"})
    story.fail("b", 50)
    assert (len(story.updates), story.fold.snapshot()[0]) == (4, {"a": "a", "d": "?"})
    assert story.alarm(AlarmKind.PLAN_SOFT, 60) == []
    story.ok("e", 70)
    assert len(story.updates) == 5
    assert story.updates[-1].read() == (story.result.value, story.coverage)


def test_an_exclusion_with_a_default_is_an_update() -> None:
    """What changes the value is told, whatever it came from; without a default it is not."""
    story = Story(FoldNode("a", if_missing=IfMissing.USE, default=1), "b", "c", emit=EmitMode.SNAPSHOT)
    story.exclude("a", R.BUDGET)
    assert len(story.updates) == 1
    assert story.exclude("b", R.BUDGET) == []


def test_a_snapshot_is_made_once_and_counts_what_is_pending() -> None:
    """Reading twice gives the same value; coverage says how many have not ended."""
    story = Story("a", "b")
    story.start("a")
    story.ok("a", 10)
    value, coverage = story.fold.snapshot()
    assert story.fold.snapshot()[0] is value
    assert (coverage.pending, coverage.started, coverage.ratio) == (1, 1, 0.5)


def test_no_update_for_what_is_not_accepted() -> None:
    """A verdict without the floor has no value to show."""
    story = Story(FoldNode("a", required=True), emit=EmitMode.SNAPSHOT)
    story.fail("a", 10)
    assert story.updates == []
    assert story.fold.snapshot() == (None, story.coverage)


def test_a_merge_that_fails_leaves_a_reason() -> None:
    """The plan accepts the outcome, but there is no result: the result says why, and the verdict stands."""
    story = Story("a", "b", merge="deep_merge", options={"x": "error"})
    story.ok("a", 10, {"x": 1})
    story.ok("b", 20, {"x": 2})
    assert story.verdict.accepted
    assert (story.result.value, story.result.error) == (None, "x: a, b disagree")


def test_first_is_by_arrival() -> None:
    """`merge: first` takes who ended first, not who is written first."""
    story = Story("a", "b", merge="first")
    story.ok("b", 10)
    story.ok("a", 20)
    assert (story.result.value, story.result.merged) == ("b", ("b",))


def _streamed(story: Story, branch: str, at: float, state: BranchState, reason: BranchReason, attempt: int = 0) -> None:
    story.add(at, End(branch, attempt, state, reason, streamed=True))


def test_parts_are_the_answer_of_a_stream() -> None:
    """A streamed success has the value of its parts; the sender's value is not looked at."""
    story = Story("a")
    story.part("a", 10, {"text": "Hel", "tags": [1]}, 0)
    story.part("a", 20, {"text": "lo", "tags": [2]}, 1)
    _streamed(story, "a", 30, S.SUCCEEDED, R.NONE)
    assert story.result.value == {"a": {"text": "Hello", "tags": [1, 2]}}


def test_a_stream_without_parts_answers_null() -> None:
    """Parts of another attempt are not its answer either."""
    story = Story("a", "b")
    _streamed(story, "a", 10, S.SUCCEEDED, R.NONE)
    story.part("b", 20, "old", 0)
    _streamed(story, "b", 30, S.SUCCEEDED, R.NONE, attempt=1)
    assert story.result.value == {"a": None, "b": None}


def test_a_broken_stream_that_is_kept_is_merged_without_coverage() -> None:
    """FAILED/STREAM_BROKEN with its parts: in the result, not in the ratio; discarded parts are not in it."""
    story = Story("a", "b", "c")
    for branch in ("a", "b"):
        story.part(branch, 10, ["half"], 0)
    _streamed(story, "a", 20, S.FAILED, R.STREAM_BROKEN)
    story.fail("b", 20, S.FAILED, R.STREAM_BROKEN)
    story.ok("c", 30)
    assert story.result.value == {"a": ["half"], "c": "c"}
    assert (story.result.merged, story.coverage.weight_ok) == (("a", "c"), 1)


def test_kept_parts_are_not_overwritten_by_a_default() -> None:
    """A default fills only what is missing, and these parts are there."""
    story = Story(FoldNode("a", required=True, if_missing=IfMissing.USE, default=["default"]), completion=rule(min_success=0))
    story.part("a", 10, ["half"], 0)
    _streamed(story, "a", 20, S.FAILED, R.STREAM_BROKEN)
    assert story.state("a") == (S.DEFAULTED, R.STREAM_BROKEN)
    assert story.result.value == {"a": ["half"]}


def test_parts_of_a_stream_that_is_left_behind_are_not_in_the_result() -> None:
    """A snapshot shows a running stream; the result has only what ended."""
    story = Story("a", "b", completion=rule(soft=100), emit=EmitMode.SNAPSHOT)
    story.start("a", "b")
    story.ok("a", 10)
    story.part("b", 20, "half", 0)
    assert story.fold.snapshot()[0] == {"a": "a", "b": "half"}
    story.alarm(AlarmKind.PLAN_SOFT, 100)
    assert story.updates[-1].read()[0] == story.result.value == {"a": "a"}


def test_a_stream_that_the_merge_cannot_take_yet_is_left_out_of_snapshots() -> None:
    """Half a stream may be no list yet; that is judged when it has ended."""
    story = Story("a", "b", merge="concat")
    story.part("a", 10, "text", 0)
    assert story.fold.snapshot()[0] == []
    with pytest.raises(BadLog, match="only lists"):
        _streamed(story, "a", 20, S.SUCCEEDED, R.NONE)

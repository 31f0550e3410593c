"""The log of nodes with lists: what no dispatcher may say of them, and what becomes of the parts of items."""

from __future__ import annotations

from typing import Any

import pytest

from aggregator.engine.badlog import BadLog
from aggregator.engine.fold import Fold
from fanmesh.expr import evaluator
from fanmesh.model.completion import CompletionRule, Predicate, Until, UntilKind
from fanmesh.model.events import Change, Effect, End, Event, FoldNode, Happening, PartArrived, Result, Start, Update, Verdict
from fanmesh.model.merge import MergeSpec
from fanmesh.model.states import AlarmKind, BranchReason, BranchState, ChangeKind, CompletedBy, EmitMode, Gather, IfMissing
from fanmesh.model.times import MS
from fanmesh.model.values import Opaque
from tests.kit.logs import Story, rule

S, R, K = BranchState, BranchReason, ChangeKind
X = FoldNode("x", gather=Gather.LIST)
EXPANDED = Change("x", K.EXPANDED, items=("a", "b"), tolerated=2)


def started(item: int | None = None) -> Change:
    """A call was sent."""
    return Change("x", K.STARTED, item=item)


def ended(item: int | None, value: Any = 1, **more: Any) -> End:
    """It has answered."""
    return End("x", 0, S.SUCCEEDED, R.NONE, value, item=item, **more)


def part(item: int, value: Any, seq: int = 0, confidence: float | None = None) -> PartArrived:
    """A part of an item's stream."""
    return PartArrived("x", 0, seq, False, value, confidence, item=item)


def folded(
    *told: Happening, node: FoldNode = X, until: Until | None = None, predicate: str = "", least: int = 1
) -> list[Effect]:
    """The effects of what is told of a node beside one that says nothing, one thing a nanosecond."""
    rule = CompletionRule(
        (until or Until(UntilKind.ALL),), predicate=Predicate(predicate) if predicate else None, min_success=least
    )
    fold = Fold(evaluator)
    log = [Start("r", "p", (node, FoldNode("y")), 1000, 1025, rule, MergeSpec()), *told]
    return [effect for at, what in enumerate(log) for effect in fold.apply(Event(at + 1, at, what))]


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ([started(0)], "'x' has no item 0"),
        ([EXPANDED, started(2)], "'x' has no item 2"),
        ([EXPANDED, EXPANDED], "'x' has been expanded: each of its items has an ending of its own"),
        ([EXPANDED, ended(None)], "'x' has been expanded: each of its items has an ending of its own"),
        ([started(), EXPANDED], "'x' is expanded although it has started"),
        ([EXPANDED, ended(0), ended(0)], r"x\[0\] has already ended"),
        ([EXPANDED, ended(0), part(0, [1])], r"x\[0\] has already ended"),
        ([EXPANDED, started(0), Change("x", K.EXCLUDED, R.UPSTREAM_MISSING, 0)], r"x\[0\] is excluded after it was started"),
        ([EXPANDED, ended(0), ended(1), started(1)], "'x' has already ended"),
        ([Change("x", K.EXPANDED), ended(0)], "'x' has already ended"),
        ([Change("x", K.EXCLUDED, R.NONE)], "is no fate of a node"),
        ([EXPANDED, Change("x", K.EXPANDED, item=0, items=("a",))], "is no fate of a node"),
    ],
)
def test_what_no_log_may_say_of_a_list(told: list[Happening], words: str) -> None:
    """It is refused where it is said: a fold that guessed would differ from the dispatcher."""
    with pytest.raises(BadLog, match=words):
        folded(*told)


@pytest.mark.parametrize(
    ("node", "value", "words"),
    [
        (X._replace(gather=None), 1, "'x' is expanded although it is one call"),
        (X, Opaque("image/png", b"", is_message=False), r"x\[0\]: image/png cannot be gathered with other answers"),
        (X._replace(gather=Gather.CONCAT), 1, r"x\[0\]: gather: concat needs lists, not a int"),
        (X._replace(gather=Gather.CONCAT, if_missing=IfMissing.USE, default=1), 1, "the merge cannot take a default: gather"),
    ],
)
def test_what_does_not_fit_the_node(node: FoldNode, value: Any, words: str) -> None:
    """A plain node is not expanded, and what cannot be gathered is no answer and no default."""
    with pytest.raises(BadLog, match=words):
        folded(EXPANDED, ended(0, value), node=node)


def test_a_start_that_is_told_twice_counts_once() -> None:
    """Retries are not in the log, and a node is told of as planned for people."""
    effects = folded(
        EXPANDED, started(0), started(0), Change("y", K.PLANNED), ended(0), ended(1), End("y", 0, S.FAILED, R.WORKER_ERROR)
    )
    (result,) = [effect for effect in effects if isinstance(effect, Result)]
    assert (result.value, result.coverage.started, result.coverage.succeeded) == ({"x": [1, 1]}, 1, 2)


@pytest.mark.parametrize(
    ("gather", "value", "merged"),
    [(Gather.LIST, [1], [[1], [2], 3]), (Gather.CONCAT, [1], [1, 2]), (Gather.MAP, [1], {"a": [1], "b": [2], "c": 3})],
)
def test_parts_that_complete_a_request_are_in_its_result(gather: Gather, value: Any, merged: Any) -> None:
    """A predicate that holds by what items have streamed so far keeps just that, although they are cancelled now."""
    told: list[Happening] = [Change("x", K.EXPANDED, items=("a", "b", "c"), tolerated=3), part(0, value, confidence=0.5)]
    told += [ended(2, [] if gather is Gather.CONCAT else 3), part(1, [2])]
    effects = folded(*told, node=X._replace(gather=gather), until=Until(UntilKind.PREDICATE), predicate="size(merged.x) >= 2")
    if gather is Gather.LIST or gather is Gather.MAP:
        told = told[:3]  # two of them are enough
        merged = merged[:1] + merged[2:] if isinstance(merged, list) else {"a": [1], "c": 3}
    verdict, result = effects[-2:]
    assert isinstance(verdict, Verdict)
    assert isinstance(result, Result)
    assert (verdict.completed_by, result.value) == (CompletedBy.PREDICATE, {"x": merged})
    assert (result.coverage.succeeded, result.coverage.cancelled + result.coverage.skipped) == (1, 3)


def test_parts_that_cannot_be_gathered_are_left_out_of_what_is_shown() -> None:
    """A stream whose parts are no list yet is not part of a list of lists; of one that confidence completes likewise."""
    node = X._replace(gather=Gather.CONCAT)
    effects = folded(
        EXPANDED,
        part(0, "no list", confidence=0.1),
        part(1, [2], confidence=0.95),
        node=node,
        until=Until(UntilKind.CONFIDENCE, 0.9),
        least=0,
    )
    result = effects[-1]
    assert isinstance(result, Result)
    assert result.value == {"x": [2]}


def test_a_snapshot_shows_what_can_be_gathered() -> None:
    """Of running items, too, but for those whose parts do not fit yet."""
    node, fold = X._replace(gather=Gather.CONCAT), Fold()
    start = Start("r", "p", (node,), 1000, 1025, CompletionRule(), MergeSpec())
    for at, what in enumerate((start, EXPANDED, part(0, "no list"), part(1, [2]))):
        fold.apply(Event(at + 1, at, what))
    assert fold.snapshot()[0] == {"x": [2]}


def test_parts_of_items_of_a_branch_that_failed_are_not_kept() -> None:
    """It is over, and what was streaming then is nobody's answer, whatever rule completes the request by its parts."""
    told: list[Happening] = [Change("x", K.EXPANDED, items=("a", "b"), tolerated=0), part(1, [2], confidence=0.5)]
    told += [End("x", 0, S.FAILED, R.WORKER_ERROR, item=0), End("y", 0, S.SUCCEEDED, R.NONE, 1, confidence=0.95)]
    result = folded(*told, until=Until(UntilKind.CONFIDENCE, 0.9))[-1]
    assert isinstance(result, Result)
    assert (result.value, result.merged) == ({"y": 1}, ("y",))


def of_list(story: Story, *items: str, tolerated: int = 0) -> Story:
    """`x` is called for each of these."""
    story.add(0, Change("x", K.EXPANDED, items=items, tolerated=tolerated))
    for item in range(len(items)):
        story.add(0, started(item))
    return story


def failed(item: int) -> End:
    """It has not answered."""
    return End("x", 0, S.FAILED, R.WORKER_ERROR, item=item)


@pytest.mark.parametrize("order", [("s", X), (X, "s")])
def test_what_still_comes_is_not_what_came_first(order: tuple[FoldNode | str, ...]) -> None:
    """However many items have answered before it: `first` is a matter of when, and not of the place in the plan."""
    story = of_list(Story(*order, completion=rule(Until(UntilKind.QUIET, 50 * MS)), merge="first"), *"abcdef")
    story.start("s")
    for item in range(6):
        story.add(10, ended(item, item))
    story.part("s", 40, ["late"], 0)
    assert story.fold.snapshot()[0] == [0, 1, 2, 3, 4, 5]
    story.alarm(AlarmKind.QUIET, 90)
    assert story.verdict.completed_by is CompletedBy.QUIET
    assert (story.result.value, story.result.merged) == ([0, 1, 2, 3, 4, 5], ("x",))


def test_a_list_with_items_that_run_is_not_what_came_first() -> None:
    """Nor is an item's stream: what has answered whole has come before both."""
    story = of_list(Story(X, "y", "z", completion=rule(Until(UntilKind.QUIET, 50 * MS)), merge="first"), *"abcdef", tolerated=6)
    for item in range(5):
        story.add(10, ended(item, item))
    story.ok("y", 20)
    story.add(30, part(5, [5]))
    assert story.fold.snapshot()[0] == "y"
    story.alarm(AlarmKind.QUIET, 80)
    assert (story.result.value, story.result.merged) == ("y", ("y",))


@pytest.mark.parametrize("gives", [part(0, [1], confidence=0.95), ended(0, confidence=0.95)])
@pytest.mark.parametrize("ending", [failed(1), Change("x", K.EXCLUDED, R.UPSTREAM_MISSING, 1)])
def test_nobody_is_sure_of_what_has_gone(gives: Happening, ending: Happening) -> None:
    """With a branch that has failed goes all that its items have said, the confidence of answers and streams included."""
    must = FoldNode("y", required=True)
    story = Story(X, must, "z", completion=rule(Until(UntilKind.CONFIDENCE, 0.9)))
    story.add(0, Change("x", K.EXPANDED, items=("a", "b"), tolerated=0))
    story.add(0, started(0))
    story.add(10, gives)
    story.add(20, ending)
    assert story.ok("y", 30, sure=0.2) == []
    story.ok("z", 40, sure=0.89)
    assert story.verdict.completed_by is CompletedBy.ALL


def test_who_is_sure_of_an_item_is_sure_while_its_branch_may_succeed() -> None:
    """A failure that is tolerated takes nothing away, nor does the confidence of a later answer."""
    must = FoldNode("y", required=True)
    story = of_list(Story(X, must, "z", completion=rule(Until(UntilKind.CONFIDENCE, 0.9))), "a", "b", "c", tolerated=1)
    story.add(10, ended(0, confidence=0.95))
    story.add(11, failed(1))
    story.add(12, ended(2, confidence=0.1))
    story.ok("y", 30, sure=0.2)
    assert story.verdict.completed_by is CompletedBy.CONFIDENCE


@pytest.mark.parametrize("gives", [part(0, [1]), ended(0, [1])])
@pytest.mark.parametrize("ending", [failed(1), Change("x", K.EXCLUDED, R.UPSTREAM_MISSING, 1)])
def test_it_is_told_when_a_branch_takes_its_answers_with_it(gives: Happening, ending: Happening) -> None:
    """The value is another one then, and whoever follows it must not go on showing what is gone."""
    story = Story(X, "y", emit=EmitMode.SNAPSHOT)
    story.add(0, Change("x", K.EXPANDED, items=("a", "b"), tolerated=0))
    story.add(0, started(0))
    (shown,) = story.add(10, gives)
    assert isinstance(shown, Update)
    assert shown.read()[0] == {"x": [[1]]}
    (shown,) = story.add(20, ending)
    assert isinstance(shown, Update)
    assert shown.read()[0] == {}


def test_a_branch_that_fails_with_nothing_changes_nothing() -> None:
    """None of its items had given anything."""
    story = of_list(Story(X, "y", emit=EmitMode.SNAPSHOT), "a", "b")
    assert story.add(10, failed(1)) == []


@pytest.mark.parametrize("ending", [failed(1), Change("x", K.EXCLUDED, R.UPSTREAM_MISSING, 1)])
def test_answers_that_go_are_no_news(ending: Happening) -> None:
    """The value changes, but it was a failure: `quiet` is counted from what has come last."""
    story = Story(X, "y", "z", completion=rule(Until(UntilKind.QUIET, 50 * MS)))
    story.add(0, Change("x", K.EXPANDED, items=("a", "b"), tolerated=0))
    story.add(0, started(0))
    story.ok("y", 10)
    story.add(20, ended(0))
    story.add(40, ending)
    story.alarm(AlarmKind.QUIET, 70)
    assert (story.verdict.at, story.result.value) == (70 * MS, {"y": "y"})

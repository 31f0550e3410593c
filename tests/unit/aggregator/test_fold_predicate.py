"""`until: {predicate: …}`: the result so far is good enough, by whatever the plan says of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from aggregator.engine.badlog import BadLog
from aggregator.engine.fold import Fold
from fanmesh.model.completion import CompletionRule, Evaluate, Predicate, Until, UntilKind
from fanmesh.model.events import Arm, Event, FoldNode, Start, Verdict
from fanmesh.model.merge import MergeSpec
from fanmesh.model.states import AlarmKind, BranchReason, BranchState, CompletedBy, EmitMode
from fanmesh.model.times import MS
from fanmesh.model.values import Value
from tests.kit.logs import Story, asks, never, rule

A, C, K, R, S = AlarmKind, CompletedBy, UntilKind, BranchReason, BranchState


def asked(min_interval: int = 0, **rest: object) -> CompletionRule:
    """`until: {predicate: …}`."""
    return rule(K.PREDICATE, predicate=Predicate("x", (), min_interval * MS), **rest)


def has(*names: str) -> Callable[[Value, float], bool]:
    """Whether the merged value has all of these."""
    return lambda merged, _coverage: isinstance(merged, dict) and set(names) <= set(merged)


def test_it_completes_with_the_event_that_makes_it_hold() -> None:
    """Asked of the merged value so far, the parts of running streams included."""
    story = Story("a", "s", "c", completion=asked(), language=asks(has("a", "s")))
    story.start("a", "s", "c")
    assert story.ok("a", 10) == []
    story.part("s", 20, [1], 0)
    assert story.verdict == Verdict(C.PREDICATE, 6, 20 * MS, accepted=True)
    assert story.result.value == {"a": "a", "s": [1]}
    assert story.state("s") == (S.CANCELLED, R.COMPLETION_MET)


def test_it_is_asked_of_the_coverage_too() -> None:
    """As reports show it."""
    seen: list[float] = []
    story = Story("a", FoldNode("b", weight=3), "c", completion=asked(), language=asks(lambda _, x: bool(seen.append(x))))
    story.start("a", "b", "c")
    story.ok("a", 10)
    story.ok("b", 20)
    assert seen == [0.2, 0.8]


def test_coverage_says_the_same_to_every_rule() -> None:
    """What meets `until: {coverage: 0.9}` is 0.9 to a predicate, and in the report."""
    weighed = [FoldNode(name, weight=0.3) for name in "abc"]
    story = Story(*weighed, FoldNode("d", weight=0.1), completion=asked(), language=asks(lambda _, covered: covered >= 0.9))
    story.start("a", "b", "c", "d")
    for name in "abc":
        story.ok(name, 10)
    assert story.verdict.completed_by is C.PREDICATE
    assert story.coverage.ratio == 0.9


def test_without_the_floor_nobody_asks() -> None:
    """Its answer would change nothing; when the floor comes to hold it is asked, also by an event that brings no value."""
    times: list[int] = []
    story = Story("a", FoldNode("b", required=True), "c", completion=asked(), language=asks(has("a"), times))
    story.start("a", "b", "c")
    assert story.ok("a", 10) == []
    assert times == []
    story = Story("a", FoldNode("b", required=True), "c", completion=asked(), language=asks(has("a"), times))
    story.start("a", "c")
    story.ok("a", 10)
    story.exclude("b", R.CONDITION, 20)
    assert story.verdict.completed_by is C.PREDICATE
    assert len(times) == 1


def test_it_is_not_asked_of_nothing() -> None:
    """Before anything has come there is no result so far, even if the floor is none."""
    times: list[int] = []
    story = Story("a", "b", completion=asked(min_success=0), language=asks(lambda *_: True, times))
    story.start("a", "b")
    assert times == []
    story.fail("a", 10)
    assert story.verdict.completed_by is C.PREDICATE


def test_it_is_asked_once_for_each_event_that_may_change_it() -> None:
    """Parts and endings; not sends, dropped parts or alarms."""
    times: list[int] = []
    story = Story("a", "b", FoldNode("s", soft=30 * MS), completion=asked(), language=asks(never, times))
    story.start("a", "s")
    story.ok("a", 10)
    story.start("b", at=15)
    story.part("s", 20, [1], 0)
    story.part("s", 25, [1], 0)
    story.alarm(A.BRANCH_SOFT, 30, "s")
    story.part("s", 40, [2], 1)
    assert len(times) == 3
    story.fail("b", 50)
    assert len(times) == 4
    assert story.verdict.completed_by is C.SOFT_TIMEOUT


def test_between_two_evaluations_min_interval_passes_and_none_is_lost() -> None:
    """One that would come too soon is put off, once for all that comes meanwhile, and made at its time."""
    times: list[int] = []
    story = Story("a", "b", "s", "d", completion=asked(20), language=asks(has("b", "s"), times))
    story.start("a", "b", "s", "d")
    assert story.ok("a", 100) == []
    assert story.part("s", 105, [1], 0) == [Arm(A.PREDICATE, 120 * MS)]
    assert story.part("s", 106, [1], 1) == []
    assert story.ok("b", 110) == []
    assert len(times) == 1
    story.alarm(A.PREDICATE, 120)
    assert story.verdict == Verdict(C.PREDICATE, 9, 120 * MS, accepted=True)
    assert len(times) == 2


def test_a_late_alarm_changes_nothing() -> None:
    """What was put off is asked at its own time, of what had come by then, before the event that shows it is late."""
    seen: list[Value] = []
    story = Story("a", "b", "c", completion=asked(20), language=asks(lambda merged, _: bool(seen.append(merged))))
    story.start("a", "b", "c")
    story.ok("a", 100)
    story.ok("b", 105)
    story.part("c", 130, [1], 0)
    assert seen == [{"a": "a"}, {"a": "a", "b": "b"}]
    assert story.arms[-1] == Arm(A.PREDICATE, 140 * MS)
    story.part("c", 140, [2], 1)
    assert seen[2] == {"a": "a", "b": "b", "c": [1, 2]}
    assert story.alarm(A.PREDICATE, 140) == []
    assert len(seen) == 3


def test_nothing_is_put_off_beyond_the_last_ending() -> None:
    """When all have ended the request is complete by `all`; nobody waits in order to ask."""
    story = Story("a", "b", completion=asked(20), language=asks(has("b")))
    story.ok("a", 100)
    story.ok("b", 105)
    assert story.verdict == Verdict(C.ALL, 3, 105 * MS, accepted=True)


def test_an_error_is_false_and_counted() -> None:
    """A predicate that cannot be evaluated never ends a request, neither well nor badly."""
    story = Story("a", "b", completion=asked(), language=asks(lambda *_: None))
    story.ok("a", 10)
    assert story.fold.expression_errors == 1
    story.ok("b", 20)
    assert story.verdict.completed_by is C.ALL
    assert story.fold.expression_errors == 2
    assert Fold().expression_errors == 0


def test_of_several_rules_the_first_written_is_named() -> None:
    """Also where both hold at one event."""
    for order, by in (((K.FIRST, K.PREDICATE), C.FIRST), ((K.PREDICATE, K.FIRST), C.PREDICATE)):
        story = Story("a", "b", completion=rule(*order, predicate=Predicate("x")), language=asks(has("a")))
        story.ok("a", 10)
        assert story.verdict.completed_by is by


def test_two_rules_that_wait_are_both_armed() -> None:
    """Each alarm has its kind; told in one answer."""
    rules = rule(K.PREDICATE, Until(K.QUIET, 50 * MS), predicate=Predicate("x", (), 20 * MS))
    story = Story("a", "b", "c", completion=rules, language=asks(never))
    story.start("a", "b", "c")
    assert story.ok("a", 10) == [Arm(A.QUIET, 60 * MS)]
    assert story.ok("b", 15) == [Arm(A.PREDICATE, 30 * MS)]
    assert story.alarm(A.PREDICATE, 30) == []
    assert story.alarm(A.QUIET, 60) == [Arm(A.QUIET, 65 * MS)]
    story.alarm(A.QUIET, 65)
    assert story.verdict.completed_by is C.QUIET


def test_a_value_that_is_not_read_is_not_merged() -> None:
    """Merging is work: a predicate over coverage alone does not ask for it."""

    def language(_predicate: Predicate, _attributes: Mapping[str, str]) -> Evaluate:
        return lambda _merged, coverage: coverage >= 0.5

    story = Story("a", "b", completion=asked(), language=language)
    story.ok("a", 10)
    assert story.verdict.completed_by is C.PREDICATE


def test_with_snapshots_the_last_one_is_what_it_was_asked_of() -> None:
    """Snapshots go on as without the rule; the last one is the result."""
    story = Story("a", "s", completion=asked(), language=asks(has("s")), emit=EmitMode.SNAPSHOT)
    story.start("a", "s")
    assert [update.read()[0] for update in story.updates] == []
    story.ok("a", 10)
    assert story.updates[-1].read()[0] == {"a": "a"}
    story.part("s", 20, [1], 0)
    assert story.updates[-1].read() == (story.result.value, story.coverage)


@pytest.mark.parametrize("fold", [Fold(), Fold(asks(never))])
def test_a_predicate_that_is_none_is_a_bad_log(fold: Fold) -> None:
    """Also where nobody knows the language it is written in."""

    def refuse(_predicate: Predicate, _attributes: Mapping[str, str]) -> Evaluate:
        raise ValueError("not an expression")

    fold = Fold(refuse) if fold._compile is not Fold()._compile else fold
    with pytest.raises(BadLog, match=r"predicate: (not an expression|predicates are not known here)"):
        fold.apply(Event(1, 0, Start("r", "p", (FoldNode("a"),), 10, 20, asked(), MergeSpec())))


def test_the_attributes_of_the_request_go_with_it() -> None:
    """By name, as the start says them."""
    told: list[tuple[Predicate, dict[str, str]]] = []

    def language(predicate: Predicate, attributes: Mapping[str, str]) -> Evaluate:
        told.append((predicate, dict(attributes)))
        return lambda *_: False

    rules = rule(K.PREDICATE, predicate=Predicate("x", ("fast",)))
    start = Start("r", "p", (FoldNode("a"),), 10, 20, rules, MergeSpec(), attributes=(("fast", "yes"),))
    Fold(language).apply(Event(1, 0, start))
    assert told == [(Predicate("x", ("fast",)), {"fast": "yes"})]

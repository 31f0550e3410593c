"""The fold of nodes that are called for each item of a list: the same by every way, and as a plain recount has it."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from aggregator.engine.fold import Fold
from dispatcher.wire.backlog import Backlog
from fanmesh.eventlog import decode_answer, decode_event, encode_effect, encode_event
from fanmesh.model.completion import CompletionRule, Until, UntilKind
from fanmesh.model.events import Alarm, Change, Effect, End, Event, FoldNode, Happening, PartArrived, Result, Start, Verdict
from fanmesh.model.merge import MergeSpec
from fanmesh.model.states import (
    AlarmKind,
    BranchReason,
    BranchState,
    ChangeKind,
    CompletedBy,
    Gather,
    IfMissing,
    OnFailure,
)

S, R, K = BranchState, BranchReason, ChangeKind
STOP = 1000
BRANCHES = ("a", "b", "c")
FATES = [(S.SUCCEEDED, R.NONE), (S.FAILED, R.WORKER_ERROR), (S.TIMED_OUT, R.HARD_TIMEOUT), (S.REJECTED, R.BREAKER_OPEN)]


class Story(NamedTuple):
    """A request: its nodes and, by branch, what is told of it, in order."""

    start: Start
    told: list[tuple[str, list[Happening]]]


@st.composite
def stories(draw: st.DrawFn, *, whole: bool = False) -> Story:
    """Two lists and a plain branch. `whole`: each leaf ends, and nothing completes the request before."""
    nodes, told = [], []
    for branch in BRANCHES:
        gather = draw(st.sampled_from(Gather)) if branch != "c" else None
        required, weight = draw(st.booleans()), draw(st.sampled_from([0.1, 1.0, 2.5]))
        missing = draw(st.sampled_from([IfMissing.SKIP, IfMissing.USE]))
        nodes.append(FoldNode(branch, weight, required, None, missing, ["d"], gather=gather))
        if gather is None:
            told.append((branch, _leaf(draw, branch, None, whole=whole)))
            continue
        count = draw(st.integers(0, 4))
        keys = tuple(f"k{n}" for n in range(count))
        told.append((branch, [Change(branch, K.EXPANDED, items=keys, tolerated=draw(st.integers(0, count)))]))
        told += [(branch, _leaf(draw, branch, item, whole=whole)) for item in range(count)]
    until = (
        Until(UntilKind.ALL)
        if whole
        else draw(st.sampled_from([Until(UntilKind.ALL), Until(UntilKind.COUNT, 3), Until(UntilKind.COVERAGE, 0.5)]))
    )
    fewest = 0 if whole else draw(st.integers(0, 3))
    on_failure = OnFailure.SETTLE if whole else draw(st.sampled_from(OnFailure))
    rule = CompletionRule((until,), None, min_success=fewest, on_failure=on_failure)
    return Story(Start("r", "p", tuple(nodes), STOP, STOP + 25, rule, MergeSpec()), told)


def _leaf(draw: st.DrawFn, branch: str, item: int | None, *, whole: bool) -> list[Happening]:
    state, reason = draw(st.sampled_from(FATES))
    if draw(st.booleans()) and state is S.SUCCEEDED:
        parts = draw(st.integers(1, 3))
        story: list[Happening] = [Change(branch, K.STARTED, item=item)]
        story += [PartArrived(branch, 0, n, draw(st.booleans()), [n], item=item) for n in range(parts)]
        story.append(End(branch, 0, state, reason, streamed=True, item=item))
    else:
        story = [Change(branch, K.STARTED, item=item), End(branch, 0, state, reason, [branch, item], item=item)]
    return story if whole else story[: draw(st.integers(0, len(story)))]


@st.composite
def logs(draw: st.DrawFn, *, whole: bool = False) -> list[Event]:
    """A log of such a request: a list is known before its leaves, everything else in any order, until the node is over."""
    story = draw(stories(whole=whole))
    first = [told for _, told in story.told if told and isinstance(told[0], Change) and told[0].kind is K.EXPANDED]
    rest = [told for _, told in story.told if told not in first]
    order = draw(st.permutations([at for at, told in enumerate(rest) for _ in told]))
    places = [iter(told) for told in rest]
    happenings = [told[0] for told in first] + [next(places[at]) for at in order]
    times = sorted(draw(st.lists(st.integers(0, STOP - 1), min_size=len(happenings), max_size=len(happenings))))
    log = [Event(1, 0, story.start)]
    over = Over(story.start)
    for at, what in zip(times, happenings, strict=True):
        if over.takes(what):
            log.append(Event(len(log) + 1, at, what))
    return [*log, Event(len(log) + 1, STOP, Alarm(AlarmKind.STOP))]


class Over:
    """Whether a node is over, so that nothing more is told of it: a plain recount that the engine has no part in."""

    def __init__(self, start: Start) -> None:
        self.nodes = {node.id: node for node in start.nodes}
        self.count: dict[str, int] = {}
        self.tolerated: dict[str, int] = {}
        self.ended: dict[str, list[tuple[int | None, S, R]]] = {name: [] for name in self.nodes}

    def takes(self, what: Happening) -> bool:
        """Note it, and say whether it may still be told."""
        if isinstance(what, Start | Alarm):
            return True
        if self.over(what.branch):
            return False
        match what:
            case Change(branch, K.EXPANDED):
                self.count[branch], self.tolerated[branch] = len(what.items), what.tolerated
            case End():
                self.ended[what.branch].append((what.item, what.state, what.reason))
            case _:
                pass
        return True

    def failures(self, branch: str) -> int:
        """How many of it have failed, where no default stands in."""
        default = self.nodes[branch].if_missing is IfMissing.USE
        return sum(state is not S.SUCCEEDED and not default for _, state, _ in self.ended[branch])

    def over(self, branch: str) -> bool:
        """All have ended, or more have failed than may."""
        if self.nodes[branch].gather is None:
            return bool(self.ended[branch])
        if branch not in self.count:
            return False
        return len(self.ended[branch]) == self.count[branch] or self.failures(branch) > self.tolerated[branch]

    def lost(self, branch: str) -> bool:
        """It has given nothing."""
        if self.nodes[branch].gather is None:
            return False
        default = self.nodes[branch].if_missing is IfMissing.USE
        given = sum(state is S.SUCCEEDED or default for _, state, _ in self.ended[branch])
        return self.failures(branch) > self.tolerated[branch] or not given


def folded(log: list[Event]) -> list[Effect]:
    """Every effect of a log."""
    fold = Fold()
    return [effect for event in log for effect in fold.apply(event)]


@given(logs())
def test_a_log_with_leaves_folds_the_same_over_the_wire(log: list[Event]) -> None:
    """Events as the service reads them, effects as the dispatcher reads them: alarms, verdict and result are equal."""
    here = folded(log)
    there = [decode_answer(encode_effect(effect)) for effect in folded([decode_event(encode_event(event)) for event in log])]
    assert repr(there) == repr(here)


@given(logs())
def test_a_replay_after_conflation_keeps_each_leafs_own_parts(log: list[Event]) -> None:
    """A part that replaces supersedes those of its own item, and of no other."""
    backlog = Backlog()
    for event in log:
        assert backlog.add(event, encode_event(event))
    ends = (Verdict, Result)
    verdict, result = (effect for effect in folded(log) if isinstance(effect, ends))
    again, same = (effect for effect in folded(backlog.replay()) if isinstance(effect, ends))
    assert isinstance(verdict, Verdict)
    assert isinstance(again, Verdict)
    assert (again.completed_by, again.at, again.accepted, same) == (verdict.completed_by, verdict.at, verdict.accepted, result)


@given(logs(whole=True))
def test_coverage_is_what_a_recount_says(log: list[Event]) -> None:
    """Each leaf has its share of the node's weight; a node that failed has given nothing; an empty list is not counted."""
    over = Over(log[0].what)  # type: ignore[arg-type]
    for event in log:
        over.takes(event.what)
    ok = total = Fraction(0)
    for branch, node in over.nodes.items():
        weight, count = Fraction(repr(node.weight)), over.count.get(branch, 1)
        if not count:
            continue
        total += weight
        good = sum(state is S.SUCCEEDED for _, state, _ in over.ended[branch])
        ok += 0 if over.lost(branch) else weight * good / count
    (result,) = [effect for effect in folded(log) if isinstance(effect, Result)]
    (verdict,) = [effect for effect in folded(log) if isinstance(effect, Verdict)]
    if verdict.completed_by is CompletedBy.UNREACHABLE:
        return  # it was over before the log was: what came later does not count
    assert abs(result.coverage.ratio - float(ok / total if total else 0)) < 1e-12


@given(logs(whole=True), st.randoms(use_true_random=False))
def test_the_order_of_endings_changes_nothing_but_who_was_first(log: list[Event], random: object) -> None:
    """Permuted leaves give the same value, unless a node fails half-way: then those that came too late never count."""
    start, *rest, _ = log
    if any(isinstance(e.what, PartArrived) for e in rest):
        return
    over = Over(start.what)  # type: ignore[arg-type]
    for event in rest:
        over.takes(event.what)
    if any(over.lost(branch) for branch in over.nodes):
        return
    heads = [e.what for e in rest if isinstance(e.what, Change) and e.what.kind is K.EXPANDED]
    ends = [e.what for e in rest if isinstance(e.what, End)]
    random.shuffle(ends)  # type: ignore[attr-defined]
    again = [start, *(Event(n, 0, what) for n, what in enumerate([*heads, *ends], 2))]
    said = [e.what for e in rest if isinstance(e.what, End)]
    plain = [start, *(Event(n, 0, what) for n, what in enumerate([*heads, *said], 2))]
    if any(isinstance(e, Verdict) and not e.accepted for e in folded(plain)):
        return  # how much had come when the floor was lost depends on who was first
    values = [[(e.value, e.coverage.ratio) for e in folded(one) if isinstance(e, Result)] for one in (again, plain)]
    assert repr(values[0]) == repr(values[1])

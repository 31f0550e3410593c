"""What must hold for any request log: the order of endings, late timers and replays decide nothing that they should not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from hypothesis import given
from hypothesis import strategies as st

from aggregator.engine.fold import Fold
from fanmesh.model.completion import CompletionRule, Evaluate, Grace, Predicate, Until, UntilKind
from fanmesh.model.coverage import Coverage
from fanmesh.model.events import (
    Alarm,
    Change,
    Effect,
    End,
    Event,
    FoldNode,
    Happening,
    PartArrived,
    Result,
    Start,
    Update,
    Verdict,
)
from fanmesh.model.merge import MergeSpec
from fanmesh.model.states import AlarmKind, BranchReason, BranchState, ChangeKind, EmitMode, IfMissing
from fanmesh.model.values import Value

K, R, S = UntilKind, BranchReason, BranchState

STOP = 100
ENDINGS = [
    (S.SUCCEEDED, R.NONE),
    (S.FELL_BACK, R.NONE),
    (S.FAILED, R.WORKER_ERROR),
    (S.TIMED_OUT, R.HARD_TIMEOUT),
    (S.REJECTED, R.BREAKER_OPEN),
    (S.SKIPPED, R.CONDITION),
    (S.SKIPPED, R.CONDITION_ERROR),
    (S.SKIPPED, R.BUDGET),
]

weights = st.sampled_from([0.0, 0.1, 0.2, 0.3, 1.0, 2.5, 7.0])
shares = st.sampled_from([0.1, 0.3, 0.5, 0.6, 0.7, 0.9, 1.0])
untils = st.one_of(
    st.sampled_from([Until(K.ALL), Until(K.FIRST), Until(K.REQUIRED)]),
    st.builds(Until, st.just(K.COUNT), st.integers(1, 4).map(float)),
    st.builds(Until, st.sampled_from([K.COVERAGE, K.CONFIDENCE]), shares),
)
timed_untils = untils | st.builds(Until, st.just(K.QUIET), st.integers(1, 40))

RISING: dict[str, Callable[[Value, float], bool | None]] = {
    "size(merged) > 1": lambda merged, _: isinstance(merged, dict) and len(merged) > 1,
    "coverage >= 0.5": lambda _, coverage: coverage >= 0.5,
    "1 / 0 > 0": lambda *_: None,
}
"""Predicates that more answers cannot make false again, as functions."""

ANY = RISING | {"size(merged) == 2": lambda merged, _: isinstance(merged, dict) and len(merged) == 2}


def language(predicate: Predicate, _attributes: Mapping[str, str]) -> Evaluate:
    """Knows these predicates and no others."""
    holds = ANY[predicate.source]
    return lambda merged, coverage: holds(merged(), coverage)


predicates = st.builds(Predicate, st.sampled_from(sorted(ANY)), st.just(()), st.sampled_from([0, 0, 1, 10, 30]))
sure = st.none() | shares


@st.composite
def starts(draw: st.DrawFn, *, timed: bool) -> Start:
    """Any request of up to six branches."""
    nodes = tuple(
        FoldNode(
            f"b{at}",
            weight=draw(weights),
            required=draw(st.booleans()),
            soft=draw(st.none() | st.integers(1, 60)) if timed else None,
            if_missing=draw(st.sampled_from(IfMissing)),
            default=f"default {at}",
        )
        for at in range(draw(st.integers(0, 6)))
    )
    asked = draw(st.none() | (predicates if timed else st.sampled_from(sorted(RISING)).map(Predicate)))
    until = draw(st.lists(timed_untils if timed else untils, min_size=1, max_size=2))
    if asked is not None:
        until.insert(draw(st.integers(0, 1)), Until(K.PREDICATE))
    rule = CompletionRule(
        until=tuple(until),
        soft=draw(st.none() | st.integers(1, 70)) if timed else None,
        grace=draw(st.sampled_from([Grace(), Grace(0.1, 0.5), Grace(0.2, 0.3)])) if timed else Grace(),
        min_success=draw(st.integers(0, 3)),
        min_coverage=draw(st.sampled_from([0.0, 0.3, 0.6, 0.9])),
        predicate=asked,
    )
    return Start(
        "r", "p", nodes, STOP, STOP + 10, rule, MergeSpec("collect"), draw(st.sampled_from([EmitMode.FINAL, EmitMode.SNAPSHOT]))
    )


def _fate(branch: str, ending: tuple[BranchState, BranchReason], attempt: int, confidence: float | None = None) -> Happening:
    state, reason = ending
    if state is S.SKIPPED:
        return Change(branch, ChangeKind.EXCLUDED, reason)
    return End(branch, attempt, state, reason, value=f"{branch} answered", confidence=confidence)


@st.composite
def logs(draw: st.DrawFn) -> list[Event]:
    """Any log that keeps the protocol and reaches stop: starts, parts, endings and exclusions at any times."""
    start = draw(starts(timed=True))
    timeline: list[tuple[int, Happening]] = []
    for node in start.nodes:
        ending = draw(st.sampled_from(ENDINGS))
        began = draw(st.integers(0, 40))
        streams = draw(st.integers(0, 2))
        times = sorted(draw(st.lists(st.integers(began, STOP + 5), min_size=streams + 1, max_size=streams + 1)))
        if ending[0] is not S.SKIPPED:
            timeline.append((began, Change(node.id, ChangeKind.STARTED)))
            timeline += [
                (at, PartArrived(node.id, 0, seq, replace=draw(st.booleans()), value=[seq], confidence=draw(sure)))
                for seq, at in enumerate(times[:-1])
            ]
        if draw(st.booleans()):
            fate = _fate(node.id, ending, 0, draw(sure))
            streamed = isinstance(fate, End) and draw(st.booleans())
            timeline.append((times[-1], fate._replace(streamed=True) if streamed and isinstance(fate, End) else fate))
    timeline.sort(key=lambda one: one[0])
    timeline.append((STOP + 10, Alarm(AlarmKind.STOP)))
    return [Event(1, 0, start), *(Event(seq, at, what) for seq, (at, what) in enumerate(timeline, 2))]


def _read(effect: Effect) -> Effect | tuple[Value, Coverage]:
    return effect.read() if isinstance(effect, Update) else effect


def _run(log: Sequence[Event]) -> list[Effect | tuple[Value, Coverage]]:
    """All effects, with updates read at once."""
    fold = Fold(language)
    return [_read(effect) for event in log for effect in fold.apply(event)]


def _verdict(log: Sequence[Event]) -> tuple[Verdict, Result]:
    *_, verdict, result = _run(log)
    assert isinstance(verdict, Verdict)
    assert isinstance(result, Result)
    return verdict, result


@given(logs())
def test_every_log_that_reaches_stop_has_one_verdict_and_one_result(log: list[Event]) -> None:
    """Exactly one of each, as the last two effects, and the coverage adds up."""
    effects = _run(log)
    assert [isinstance(one, Verdict) for one in effects].count(True) == 1
    verdict, result = _verdict(log)
    coverage = result.coverage
    assert coverage.pending == 0
    start = log[0].what
    assert isinstance(start, Start)
    states = coverage[5:]
    assert sum(states) == coverage.planned == len(start.nodes)
    assert 0 <= verdict.at <= STOP
    assert 0 <= coverage.ratio <= 1
    assert verdict.accepted or result.value is None


@given(logs())
def test_a_replay_gives_the_same_effects(log: list[Event]) -> None:
    """The log is the whole truth."""
    assert _run(log) == _run(log)


@given(logs())
def test_the_last_snapshot_is_the_result(log: list[Event]) -> None:
    """When the outcome is accepted, whoever followed the snapshots has seen the result."""
    start = log[0].what
    assert isinstance(start, Start)
    log = [log[0]._replace(what=start._replace(emit=EmitMode.SNAPSHOT)), *log[1:]]
    effects = _run(log)
    verdict, result = _verdict(log)
    if verdict.accepted:
        assert effects[-3] == (result.value, result.coverage)


@given(logs(), st.data())
def test_late_alarms_change_nothing(log: list[Event], data: st.DataObject) -> None:
    """Alarms at any times between the events, on time, early or late: verdict, time and result stay.

    Not at the instant of an event: there an alarm says that this instant's events are over.
    """
    taken = {event.at for event in log}
    times = data.draw(st.lists(st.integers(1, STOP).filter(lambda at: at not in taken), max_size=8))
    alarms = [Event(0, at, Alarm(data.draw(st.sampled_from(AlarmKind)), "b0")) for at in times]
    mixed = sorted([*log, *alarms], key=lambda event: event.at)
    told = [event._replace(seq=seq) for seq, event in enumerate(mixed, 1)]
    (verdict, result), (other, same) = _verdict(log), _verdict(told)
    assert result == same
    assert verdict._replace(applied_seq=0) == other._replace(applied_seq=0)
    applied = [event.what for event in log if event.seq <= verdict.applied_seq]
    again = [event.what for event in told if event.seq <= other.applied_seq and event not in alarms]
    assert [what for what in again if not isinstance(what, Alarm)] == [what for what in applied if not isinstance(what, Alarm)]


@given(starts(timed=False), st.data())
def test_completion_does_not_depend_on_the_order_of_endings(start: Start, data: st.DataObject) -> None:
    """Without timing, the same endings in another order are accepted alike, and complete when they are all there.

    Which rule fires is a matter of order only where one can fire before the last ending; the state that completes is not:
    whether a set of endings completes is a function of the set.
    """
    endings = {node.id: (data.draw(st.sampled_from(ENDINGS)), data.draw(sure)) for node in start.nodes}
    one = data.draw(st.permutations(list(endings)))
    ended = data.draw(st.integers(0, len(one)))
    other = data.draw(st.permutations(one[:ended]))

    def fold(order: Sequence[str]) -> Fold:
        found = Fold(language)
        found.apply(Event(1, 0, start))
        for seq, branch in enumerate(order, 2):
            found.apply(Event(seq, 1, _fate(branch, endings[branch][0], 0, endings[branch][1])))
        return found

    left, right = fold(one[:ended]), fold(other)
    assert (left.verdict is None) == (right.verdict is None)
    if left.verdict and right.verdict and left.late == right.late == 0:
        assert left.verdict == right.verdict
        assert left.final_states() == right.final_states()
        assert left.snapshot() == right.snapshot()


@given(logs(), st.sampled_from([0, 1, 7, 25]))
def test_a_predicate_is_asked_as_often_as_it_may_be_and_no_more(log: list[Event], interval: int) -> None:
    """Once for each part, ending and exclusion; with `min_interval` not before it has passed, and then for all of them at once.

    The times are worked out from the log alone. The floor is none, so that it holds throughout, and the answer is always no.
    """
    start = log[0].what
    assert isinstance(start, Start)
    nodes = tuple(node._replace(required=False, if_missing=IfMissing.SKIP, soft=None) for node in start.nodes)
    rule = CompletionRule((Until(K.PREDICATE),), min_success=0, predicate=Predicate("no", (), interval))
    asked: list[int] = []

    def no(_predicate: Predicate, _attributes: Mapping[str, str]) -> Evaluate:
        def evaluate(merged: Callable[[], Value], _coverage: float) -> bool:
            merged()
            watch = fold._alarms.watch
            assert watch is not None
            asked.append(watch._again - interval)
            return False

        return evaluate

    fold = Fold(no)
    told = [log[0]._replace(what=start._replace(nodes=nodes, completion=rule)), *log[1:]]
    for event in told:
        fold.apply(event)
    verdict = fold.verdict
    assert verdict is not None
    expected: list[int] = []
    put_off: int | None = None
    for event in told[1:]:
        counts = isinstance(event.what, PartArrived | End) or getattr(event.what, "kind", None) is ChangeKind.EXCLUDED
        if not counts or event.seq > verdict.applied_seq:
            continue
        if put_off is not None and put_off < event.at:
            expected.append(put_off)
        soonest = expected[-1] + interval if expected else 0
        put_off = None if event.at >= soonest else soonest
        if put_off is None:
            expected.append(event.at)
    if put_off is not None and put_off < verdict.at:
        expected.append(put_off)
    assert asked == expected

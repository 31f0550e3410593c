"""Whatever way a log takes to a fold (over the wire, or out of the backlog after conflation), the fold says the same."""

from hypothesis import given
from hypothesis import strategies as st

from aggregator.engine.fold import Fold
from dispatcher.wire.backlog import Backlog
from fanmesh.eventlog import decode_answer, decode_event, encode_effect, encode_event
from fanmesh.expr import evaluator
from fanmesh.model.completion import CompletionRule, Grace, Predicate, Until, UntilKind
from fanmesh.model.events import Alarm, Change, Effect, End, Event, FoldNode, Happening, PartArrived, Result, Start, Verdict
from fanmesh.model.merge import MergeSpec
from fanmesh.model.states import AlarmKind, BranchReason, BranchState, ChangeKind, IfMissing

BRANCHES = ("a", "b", "c", "d")
STOP, TOTAL = 1000, 1025

NODE = st.builds(
    FoldNode,
    st.just(""),
    st.sampled_from([0.0, 0.1, 1.0, 2.5]),
    st.booleans(),
    st.none() | st.integers(1, 900),
    st.sampled_from([IfMissing.SKIP, IfMissing.USE]),
    st.just({"by": "default"}),
)
UNTIL = st.sampled_from(
    [
        Until(UntilKind.ALL),
        Until(UntilKind.FIRST),
        Until(UntilKind.COUNT, 2),
        Until(UntilKind.COVERAGE, 0.5),
        Until(UntilKind.CONFIDENCE, 0.7),
        Until(UntilKind.QUIET, 150),
        Until(UntilKind.QUIET, 40),
        Until(UntilKind.PREDICATE),
    ]
)
PREDICATE = st.builds(
    Predicate,
    st.sampled_from(
        [
            "coverage > 0.4",
            'size(merged) == 2 && attributes.go == "yes"',
            'has(merged.a) && type(merged.a) == string && merged.a.contains("x")',
            "merged.b.missing > 1",
        ]
    ),
    st.just(("go",)),
    st.sampled_from([0, 0, 30, 200]),
)
SURE = st.sampled_from([None, None, 0.2, 0.7, 0.9])
RULE = st.builds(
    lambda until, soft, least, asked: CompletionRule(
        tuple(until), soft, Grace(0.2, 0.4), least, 0.0, asked if Until(UntilKind.PREDICATE) in until else None
    ),
    st.lists(UNTIL, min_size=1, max_size=2),
    st.none() | st.integers(1, 900),
    st.integers(0, 2),
    PREDICATE,
)
PART = st.tuples(st.booleans(), st.text("xyz", max_size=3), SURE)
ENDING = st.sampled_from(
    [
        (BranchState.SUCCEEDED, BranchReason.NONE),
        (BranchState.FAILED, BranchReason.WORKER_ERROR),
        (BranchState.FAILED, BranchReason.STREAM_BROKEN),
        (BranchState.TIMED_OUT, BranchReason.HARD_TIMEOUT),
    ]
)


@st.composite
def logs(draw: st.DrawFn) -> list[Event]:
    """A log that keeps the protocol: branches start, stream or not, and end, in any order, at any time before stop."""
    nodes = tuple(draw(NODE)._replace(id=branch) for branch in BRANCHES)
    stories: list[list[Happening]] = []
    for branch in BRANCHES:
        parts = draw(st.lists(PART, max_size=6))
        told: list[Happening] = [Change(branch, ChangeKind.STARTED)]
        told += [PartArrived(branch, 0, at, replace, value, said) for at, (replace, value, said) in enumerate(parts)]
        state, reason = draw(ENDING)
        told.append(End(branch, 0, state, reason, None if parts else branch, streamed=bool(parts), confidence=draw(SURE)))
        stories.append(told[: draw(st.integers(1, len(told)))])
    order = draw(st.permutations([at for at, told in enumerate(stories) for _ in told]))
    times = sorted(draw(st.lists(st.integers(0, STOP), min_size=len(order), max_size=len(order))))
    rule = draw(RULE)
    attributes = () if rule.predicate is None else (("go", draw(st.sampled_from(["yes", ""]))),)
    log = [Event(1, 0, Start("r", "p", nodes, STOP, TOTAL, rule, MergeSpec(), attributes=attributes))]
    places = [iter(told) for told in stories]
    log += [Event(seq, at, next(places[which])) for seq, (at, which) in enumerate(zip(times, order, strict=True), 2)]
    return [*log, Event(len(log) + 1, STOP, Alarm(AlarmKind.STOP))]


def folded(log: list[Event]) -> list[Effect]:
    """Every effect of a log."""
    fold = Fold(evaluator)
    return [effect for event in log for effect in fold.apply(event)]


@given(logs())
def test_a_log_folds_the_same_over_the_wire(log: list[Event]) -> None:
    """Events as the service reads them, effects as the dispatcher reads them: alarms, verdict and result are equal."""
    here = folded(log)
    there = [decode_answer(encode_effect(effect)) for effect in folded([decode_event(encode_event(event)) for event in log])]
    assert repr(there) == repr(here)


@given(logs())
def test_a_replay_after_conflation_folds_the_same(log: list[Event]) -> None:
    """Parts that were replaced are gone from the log, where no part can complete: the same rule, time and result."""
    backlog = Backlog()
    start = log[0].what
    assert isinstance(start, Start)
    backlog.conflates = not start.completion.looks_at_parts
    for event in log:
        assert backlog.add(event, encode_event(event))
    (verdict, result), (again, same) = folded(log)[-2:], folded(backlog.replay())[-2:]
    assert isinstance(verdict, Verdict)
    assert isinstance(again, Verdict)
    assert isinstance(same, Result)
    assert repr(same) == repr(result)
    assert again._replace(applied_seq=0) == verdict._replace(applied_seq=0)
    ended = [event.seq for event in log if isinstance(event.what, End)]
    assert [seq <= again.applied_seq for seq in ended] == [seq <= verdict.applied_seq for seq in ended]

"""A healthy Aggregator process says what the fold in this process says, bit for bit."""

from collections.abc import Callable, Iterator

import pytest

from fanmesh.expr import evaluator
from fanmesh.model.completion import Predicate, Until, UntilKind
from fanmesh.model.events import End, FoldNode
from fanmesh.model.states import AggregatorMode, AlarmKind, BranchReason, BranchState, EmitMode, IfMissing
from fanmesh.model.times import MS
from tests.kit.aggregators import Process, Told, dialled, until
from tests.kit.logs import Story, grace, rule

LONG = 60_000
"""A stop in ms that no run of these tests reaches."""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """An aggregator that nobody hurts."""
    process = Process(f"unix:{tmp_path_factory.mktemp('aggregator')}/aggregator.sock")
    yield process
    process.destroy()


def all_answer() -> Story:
    """Two branches, both answer."""
    story = Story("a", "b", stop=LONG)
    story.start("a", "b")
    story.ok("a", 5, {"x": 0.1, "n": 2**63 + 1, "z": -0.0})
    story.ok("b", 7, [1, 1.0, None, "ü"])
    return story


def streams() -> Story:
    """One stream appends, one replaces, one breaks."""
    story = Story("a", "b", "c", stop=LONG, emit=EmitMode.SNAPSHOT)
    story.start("a", "b", "c")
    for number in range(20):
        story.part("a", number, {"text": f"{number} ", "hits": [number / 7]}, number)
        story.part("b", number, {"best": number}, number, replace=True)
    story.part("c", 30, "half", 0)
    story.add(31, streamed("c", BranchState.FAILED, BranchReason.STREAM_BROKEN))
    story.add(32, streamed("b"))
    story.add(33, streamed("a"))
    return story


def streamed(branch: str, state: BranchState = BranchState.SUCCEEDED, reason: BranchReason = BranchReason.NONE) -> End:
    """The end of a stream."""
    return End(branch, 0, state, reason, streamed=True)


def conflicts() -> Story:
    """Two branches disagree about a field."""
    story = Story("phone", "ip", stop=LONG, merge="deep_merge", options={"country": "plan_order"})
    story.start("phone", "ip")
    story.ok("ip", 3, {"country": "FR", "asn": 3215})
    story.ok("phone", 4, {"country": "DE", "valid": True})
    return story


def defaults() -> Story:
    """A default stands in, and one branch is excluded."""
    geo = FoldNode("geo", 2.5, if_missing=IfMissing.USE, default={"country": "unknown"})
    story = Story(FoldNode("phone", required=True), geo, FoldNode("rates"), stop=LONG)
    story.start("phone", "geo")
    story.exclude("rates", BranchReason.CONDITION)
    story.fail("geo", 3, BranchState.TIMED_OUT, BranchReason.HARD_TIMEOUT)
    story.ok("phone", 9, {"valid": True})
    return story


def coverage_and_grace() -> Story:
    """Nine of ten at 100 ms of 500 ms: the wait after coverage ends at 180 ms."""
    names = [f"leaf{number}" for number in range(10)]
    terms = rule(Until(UntilKind.COVERAGE, 0.9), grace=grace(0.2, 0.3))
    story = Story(*names, completion=terms, stop=LONG)
    story.start(*names)
    for name in names[:9]:
        story.ok(name, 100)
    story.alarm(AlarmKind.GRACE, story.arms[-1].at / 1e6)
    return story


def stopped() -> Story:
    """The request's time runs out before its floor holds."""
    story = Story(FoldNode("a", required=True), "b", stop=LONG)
    story.start("a", "b")
    story.ok("b", 9)
    story.alarm(AlarmKind.STOP, LONG)
    return story


def replaced_parts() -> Story:
    """A part that is replaced at once is the one that completes: none may be left out on the way."""
    asked = rule(UntilKind.PREDICATE, min_success=0, predicate=Predicate('merged.a == "yes" && attributes.go == "on"', ("go",)))
    story = Story("a", "b", completion=asked, stop=LONG, language=evaluator, attributes=(("go", "on"),))
    story.start("a", "b")
    for number, said in enumerate(["no", "yes", "never mind", "no"]):
        story.part("a", 1, said, number, replace=True)
    return story


def put_off() -> Story:
    """An evaluation that came too soon is made at its time, and its alarm told."""
    asked = rule(UntilKind.PREDICATE, predicate=Predicate("size(merged) > 1", (), 20 * MS))
    story = Story("a", "b", "c", completion=asked, stop=LONG, language=evaluator)
    story.start("a", "b", "c")
    story.ok("a", 10)
    story.ok("b", 11)
    story.alarm(AlarmKind.PREDICATE, 30)
    return story


def quiet() -> Story:
    """One answer, some parts of a stream, and then nothing."""
    story = Story("a", "s", completion=rule(Until(UntilKind.QUIET, 50 * MS)), stop=LONG, emit=EmitMode.SNAPSHOT)
    story.start("a", "s")
    story.ok("a", 10)
    for number in range(5):
        story.part("s", 20 + 9 * number, {"n": number}, number, replace=True)
    story.alarm(AlarmKind.QUIET, 60)
    story.alarm(AlarmKind.QUIET, 106)
    return story


def sure() -> Story:
    """A running stream is sure of what it has sent."""
    story = Story("a", "s", completion=rule(Until(UntilKind.CONFIDENCE, 0.9)), stop=LONG, merge="best_confidence")
    story.start("a", "s")
    story.ok("a", 10, sure=0.3)
    story.part("s", 20, "half", 0, sure=0.95)
    return story


STORIES = [
    all_answer, streams, conflicts, defaults, coverage_and_grace, stopped, replaced_parts, put_off, quiet, sure,
]  # fmt: skip


@pytest.mark.asyncio
@pytest.mark.parametrize("tell", STORIES, ids=lambda tell: tell.__name__)
async def test_a_healthy_aggregator_says_what_the_embedded_one_says(shared: Process, tell: Callable[[], Story]) -> None:
    """Verdict and result are bit for bit those of the fold in this process, and the last snapshot is the result.

    So are the alarms, but for those that a newer one of their kind overtook before they were told.
    """
    story = tell()
    async with dialled(shared.address, acks=False) as (aggregator, why):
        told = Told(aggregator, story.log)
        told.feed(told.log)
        result = await told.result
        assert repr(result) == repr(story.result)
        assert told.decisive == [story.verdict, story.result]
        armed = [effect for effect in told.effects if effect not in told.decisive]
        assert armed == [arm for arm in story.arms if arm in armed]
        assert armed[-1:] == story.arms[-1:]
        assert (told.session.mode, why) == (AggregatorMode.REMOTE, [])
        if story.updates:
            assert told.snapshots[-1] == result.value
        await until(lambda: aggregator.running == 0, "the stream to end by itself")

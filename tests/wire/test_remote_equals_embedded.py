"""A healthy Aggregator process says what the fold in this process says, bit for bit."""

from collections.abc import Callable, Iterator

import pytest

from fanmesh.model.completion import Until, UntilKind
from fanmesh.model.events import End, FoldNode
from fanmesh.model.states import AggregatorMode, AlarmKind, BranchReason, BranchState, EmitMode, IfMissing
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


STORIES = [all_answer, streams, conflicts, defaults, coverage_and_grace, stopped]


@pytest.mark.asyncio
@pytest.mark.parametrize("tell", STORIES, ids=lambda tell: tell.__name__)
async def test_a_healthy_aggregator_says_what_the_embedded_one_says(shared: Process, tell: Callable[[], Story]) -> None:
    """Alarms, verdict and result are bit for bit those of the fold in this process, and the last snapshot is the result."""
    story = tell()
    async with dialled(shared.address, acks=False) as (aggregator, why):
        told = Told(aggregator, story.log)
        told.feed(told.log)
        result = await told.result
        assert repr(result) == repr(story.result)
        assert told.decisive == [story.verdict, story.result]
        assert [effect for effect in told.effects if effect not in told.decisive] == story.arms[-1:]
        assert (told.session.mode, why) == (AggregatorMode.REMOTE, [])
        if story.updates:
            assert told.snapshots[-1] == result.value
        await until(lambda: aggregator.running == 0, "the stream to end by itself")

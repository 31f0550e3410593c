from dispatcher.wire.aggregator_embedded import EmbeddedSession
from fanmesh.model.events import Effect, End, Result, Update, Verdict
from fanmesh.model.states import AggregatorMode, BranchState, EmitMode
from tests.kit.logs import Story


def story() -> Story:
    """A stream of five parts that ends, with snapshots."""
    story = Story("a", emit=EmitMode.SNAPSHOT)
    story.start("a")
    for number in range(5):
        story.part("a", number, [number], number)
    story.add(9, End("a", 0, BranchState.SUCCEEDED, streamed=True))
    return story


def test_effects_are_delivered_before_feed_returns() -> None:
    """Nothing waits for a loop: the hot path has no task and no future."""
    given, told = story(), list[Effect]()
    session = EmbeddedSession(told.append)
    for event in given.log:
        before = len(told)
        session.feed(event)
        assert (len(told) > before) == (event.seq > 2)
    assert told[-2:] == [given.verdict, given.result]
    session.finish()
    session.close()
    assert session.mode is AggregatorMode.EMBEDDED


def test_a_replay_delivers_the_newest_snapshot_only() -> None:
    """Old snapshots are worth nothing; the last one comes before the verdict and reads the result."""
    given, told = story(), list[Effect]()
    EmbeddedSession(told.append).replay(given.log)
    assert [type(effect) for effect in told] == [Update, Verdict, Result]
    assert isinstance(told[0], Update)
    assert told[0].read()[0] == given.result.value


def test_a_replay_without_a_verdict_ends_with_a_snapshot() -> None:
    """The caller sees how far the request has come, and the log goes on from there."""
    given, told = story(), list[Effect]()
    session = EmbeddedSession(told.append)
    session.replay(given.log[:-1])
    assert [type(effect) for effect in told] == [Update]
    session.feed(given.log[-1])
    assert told[-1] == given.result

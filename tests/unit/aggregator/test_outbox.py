import pytest

from aggregator.outbox import ACK_WITHIN, Outbox
from fanmesh.eventlog import Ack, decode_answer
from fanmesh.model.coverage import Coverage
from fanmesh.model.events import Arm, Effect, Result, Update, Verdict
from fanmesh.model.states import AlarmKind, CompletedBy
from fanmesh.model.times import MS
from fanmesh.payload import PayloadError

VERDICT = Verdict(CompletedBy.ALL, 3, 5, accepted=True)
RESULT = Result("x", Coverage())


def snapshot(value: str) -> Update:
    """An update that reads `value`."""
    return Update(lambda: (value, Coverage()))


def taken(outbox: Outbox, now: int = 0) -> list[object]:
    """Everything that can be taken at `now`; snapshots as their values."""
    found: list[object] = []
    while (message := outbox.take(now)) is not None:
        answer: Effect | Ack = decode_answer(message)
        found.append(answer.read()[0] if isinstance(answer, Update) else answer)
    return found


def test_acknowledgements_coalesce() -> None:
    """One message for all events of 20 ms, with the newest number; only the first one needs a timer."""
    outbox = Outbox()
    assert outbox.ack(1, 0)
    assert not outbox.ack(2, 5 * MS)
    assert taken(outbox, ACK_WITHIN - 1) == []
    assert outbox.due() == ACK_WITHIN
    assert taken(outbox, ACK_WITHIN) == [Ack(2)]
    assert outbox.due() is None
    assert outbox.ack(3, ACK_WITHIN)


def test_of_one_alarm_only_the_newest_wish_is_sent() -> None:
    """One per kind: the newest replaces."""
    outbox = Outbox()
    outbox.put(Arm(AlarmKind.GRACE, 1))
    outbox.put(Arm(AlarmKind.QUIET, 2))
    outbox.put(Arm(AlarmKind.GRACE, 3))
    assert taken(outbox) == [Arm(AlarmKind.GRACE, 3), Arm(AlarmKind.QUIET, 2)]


def test_a_snapshot_has_one_slot_and_keeps_its_distance() -> None:
    """A newer one replaces one that waits; two are at least `min_interval` apart."""
    outbox = Outbox()
    outbox.min_interval = 10
    outbox.put(snapshot("a"))
    outbox.put(snapshot("b"))
    assert taken(outbox, 100) == ["b"]
    outbox.put(snapshot("c"))
    assert taken(outbox, 109) == []
    assert outbox.due() == 110
    outbox.put(snapshot("d"))
    assert taken(outbox, 110) == ["d"]


def test_after_a_large_snapshot_the_next_one_waits() -> None:
    """2 ms for each full 64 KiB, or `min_interval` if that is more; the last snapshot does not."""
    outbox = Outbox()
    for size, interval, wait in ((1000, 0, 0), (140_000, 0, 4 * MS), (140_000, 9 * MS, 9 * MS)):
        now = outbox.due() or 0
        outbox.min_interval = interval
        outbox.put(snapshot("x" * size))
        now = max(now, outbox.due() or 0)
        assert len(taken(outbox, now)) == 1
        outbox.put(snapshot("y"))
        assert outbox.due() == now + wait
    for effect in (VERDICT, RESULT):
        outbox.put(effect)
    assert taken(outbox, now) == ["y", VERDICT, RESULT]


def test_the_result_is_last_and_closes() -> None:
    """The last snapshot does not wait for its interval, acknowledgements and wishes are left out, nothing follows."""
    outbox = Outbox()
    outbox.min_interval = 1000
    outbox.put(snapshot("a"))
    assert taken(outbox) == ["a"]
    outbox.ack(3, 0)
    outbox.put(Arm(AlarmKind.GRACE, 1))
    for effect in (snapshot("x"), VERDICT, RESULT):
        outbox.put(effect)
    assert outbox.size > 0
    assert not outbox.closed
    assert taken(outbox, ACK_WITHIN) == ["x", VERDICT, RESULT]
    assert outbox.closed


def test_a_busy_stream_of_snapshots_does_not_starve_acknowledgements() -> None:
    """An acknowledgement that is due goes before a snapshot, however many there are."""
    outbox = Outbox()
    outbox.ack(1, 0)
    outbox.put(snapshot("a"))
    assert taken(outbox, ACK_WITHIN) == [Ack(1), "a"]


def test_what_is_no_json_is_refused_as_a_result_and_left_out_as_a_snapshot() -> None:
    """A value nested too deeply by the merge must not stop the writer; the result says what is wrong."""
    deep: list[object] = []
    for _ in range(101):
        deep = [deep]
    outbox = Outbox()
    outbox.put(Update(lambda: (deep, Coverage())))  # type: ignore[arg-type,return-value]  # JSON
    assert taken(outbox) == []
    with pytest.raises(PayloadError):
        outbox.put(Result(deep, Coverage()))  # type: ignore[arg-type]  # JSON

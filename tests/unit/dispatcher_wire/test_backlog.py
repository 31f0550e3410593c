from dispatcher.wire.backlog import Backlog
from fanmesh.model.events import Alarm, End, Event, Happening, PartArrived
from fanmesh.model.states import AlarmKind, BranchState


def part(branch: str, number: int, *, replace: bool = False, attempt: int = 0) -> PartArrived:
    """A part."""
    return PartArrived(branch, attempt, number, replace, number)


def filled(*happenings: Happening, queue: int = 100, log: int = 1000) -> Backlog:
    """A backlog of these, numbered from 1, ten bytes each, the first one its number."""
    backlog = Backlog(queue, log)
    for at, what in enumerate(happenings, 1):
        assert backlog.add(Event(at, at, what), bytes([at]) * 10)
    return backlog


def sent(backlog: Backlog) -> list[int]:
    """The numbers of everything that would be sent now, in order."""
    numbers = []
    while (taken := backlog.take()) is not None:
        seq, data = taken
        assert data[0] == seq
        numbers.append(seq)
    return numbers


def logged(backlog: Backlog) -> list[int]:
    """The numbers of what a replay folds."""
    return [event.seq for event in backlog.replay()]


def test_events_are_sent_in_order_and_kept() -> None:
    """What was sent is still there for a replay."""
    backlog = filled(part("a", 0), Alarm(AlarmKind.STOP), End("a", 0, BranchState.SUCCEEDED))
    assert sent(backlog) == [1, 2, 3]
    assert (backlog.queued, backlog.size) == (0, 30)
    assert logged(backlog) == [1, 2, 3]
    assert (backlog.size, backlog.replay()) == (0, [])


def test_a_replacing_part_drops_the_parts_of_its_branch_in_queue_and_log() -> None:
    """Both conflate in the same way; other branches and other events stay."""
    backlog = filled(part("a", 0), part("b", 0), part("a", 1), Alarm(AlarmKind.GRACE), part("a", 2, replace=True))
    assert (backlog.queued, backlog.size) == (30, 30)
    assert sent(backlog) == [2, 4, 5]
    assert logged(backlog) == [2, 4, 5]


def test_a_replacing_part_after_sent_ones_shortens_the_log_only() -> None:
    """What was sent cannot be taken back, and need not be replayed."""
    backlog = filled(part("a", 0))
    assert sent(backlog) == [1]
    assert backlog.add(Event(2, 2, part("a", 1, replace=True)), b"\x02" * 10)
    assert sent(backlog) == [2]
    assert logged(backlog) == [2]


def test_appended_parts_after_a_replacing_one_are_kept() -> None:
    """Only what came before it is worthless."""
    assert logged(filled(part("a", 0, replace=True), part("a", 1), part("a", 2))) == [1, 2, 3]


def test_a_part_of_an_older_attempt_replaces_nothing_newer() -> None:
    """The fold will drop it as superseded, so it must not take the newer attempt's parts with it."""
    backlog = filled(part("a", 0, attempt=1), part("a", 9, replace=True, attempt=0))
    assert logged(backlog) == [1, 2]


def test_a_newer_attempt_replaces_the_parts_of_older_ones() -> None:
    """Parts of two attempts are never spliced."""
    assert logged(filled(part("a", 0), part("a", 1), part("a", 0, replace=True, attempt=1))) == [3]


def test_where_a_part_can_complete_a_request_none_is_superseded() -> None:
    """A replacing part takes nobody's place then, and waits for room as an appended one does."""
    backlog = Backlog()
    assert [backlog.keeps(part("a", 0)), backlog.keeps(part("a", 0, replace=True))] == [True, False]
    assert not backlog.keeps(Alarm(AlarmKind.QUIET))
    backlog.conflates = False
    assert backlog.keeps(part("a", 0, replace=True))
    for number in range(3):
        assert backlog.add(Event(number + 1, 0, part("a", number, replace=True)), bytes([number + 1]) * 10)
    assert sent(backlog) == [1, 2, 3]
    assert logged(backlog) == [1, 2, 3]


def test_the_queue_is_full_above_its_limit() -> None:
    """Exactly the limit is not too much; taking one makes room."""
    backlog = filled(*[part("a", number) for number in range(10)])
    assert not backlog.full
    backlog.add(Event(11, 11, part("a", 10)), b"x")
    assert backlog.full
    backlog.take()
    assert not backlog.full


def test_an_event_over_the_limit_of_the_log_is_refused_and_changes_nothing() -> None:
    """Fail over while the log can still be replayed."""
    backlog = filled(part("a", 0), part("b", 0), log=25)
    assert not backlog.add(Event(3, 3, part("b", 1)), b"x" * 10)
    assert (backlog.queued, backlog.size) == (20, 20)
    assert backlog.add(Event(3, 3, part("b", 1, replace=True)), b"\x03" * 15)
    assert logged(backlog) == [1, 3]


def test_after_the_verdict_nothing_more_is_sent() -> None:
    """What waits is late; the log stays until the result is here."""
    backlog = filled(part("a", 0), part("b", 0))
    backlog.unsend()
    assert (backlog.take(), backlog.queued, backlog.size) == (None, 0, 20)


def test_a_long_replacing_stream_keeps_one_part() -> None:
    """Neither bytes nor entries grow while nobody takes anything."""
    backlog = Backlog()
    for number in range(5000):
        assert backlog.add(Event(number + 1, 0, part("a", number, replace=True)), b"x" * 1000)
    assert (backlog.queued, backlog.size, len(backlog._queue), len(backlog._parts["a", None])) == (1000, 1000, 1, 1)

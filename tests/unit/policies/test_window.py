"""The edges of a window of ten buckets: here of 10 ns each."""

from dispatcher.policies.window import Window


def test_an_entry_counts_until_nine_more_buckets_are_over() -> None:
    """Of 100 ns: an entry at 9 is kept at 99 and gone at 100, one at 10 is kept until 109."""
    window = Window()
    for at, every in [(9, 1), (10, 2), (99, 3), (100, 3), (109, 4), (110, 4)]:
        window.add(100, at, bad=False)
        assert window.every == every, at


def test_good_and_bad_leave_together() -> None:
    """Both counts are of the same entries."""
    window = Window()
    window.add(100, 0, bad=True)
    window.add(100, 0, bad=False)
    window.add(100, 50, bad=True)
    assert (window.every, window.bad) == (3, 2)
    window.add(100, 100, bad=False)
    assert (window.every, window.bad) == (2, 1)
    window.add(100, 10_000, bad=False)
    assert (window.every, window.bad) == (1, 0)


def test_a_clock_that_steps_back_forgets_nothing() -> None:
    """What comes from before the newest bucket counts into it, and when the clock is back there nothing is gone."""
    window = Window()
    for at in (150, 10, 0, 150):
        window.add(100, at, bad=True)
    assert (window.every, window.bad) == (4, 4)
    window.add(100, 249, bad=True)
    assert window.every == 5
    window.add(100, 250, bad=True)
    assert window.every == 2


def test_a_window_shorter_than_its_buckets() -> None:
    """Buckets are at least 1 ns: a window of 0 is one of 10 ns, and not a division by zero."""
    window = Window()
    window.add(0, 5, bad=True)
    window.add(0, 14, bad=True)
    assert window.every == 2
    window.add(0, 15, bad=True)
    assert window.every == 2


def test_another_length_begins_anew() -> None:
    """Counts of buckets of another width are dropped, and so they are when it is cleared."""
    window = Window()
    window.add(100, 0, bad=True)
    window.add(200, 0, bad=False)
    assert (window.every, window.bad) == (1, 0)
    window.clear()
    assert (window.every, window.bad) == (0, 0)

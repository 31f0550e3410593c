"""Replies that were kept under different times to live, because a reload has changed it."""

from dispatcher.model.policy import IdempotencyRule
from dispatcher.policies.idempotency import Begin, Keys, Replay


def test_a_shorter_time_holds_behind_a_longer_one() -> None:
    """An old reply that is kept for long does not keep a younger one beyond its own, shorter time."""
    keys: Keys[str] = Keys()
    long, short = IdempotencyRule(ttl=100), IdempotencyRule(ttl=10)
    for rule, key in ((long, "old"), (short, "young")):
        begun = keys.claim(rule, key, b"", 0)
        assert isinstance(begun, Begin)
        keys.ended(rule, begun.entry, 0, keep=True)
    assert isinstance(keys.claim(short, "young", b"", 9), Replay)
    assert isinstance(keys.claim(short, "young", b"", 10), Begin)
    assert isinstance(keys.claim(short, "old", b"", 10), Replay)

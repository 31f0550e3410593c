"""Every state of a key with everything that can happen to it, on times in seconds."""

from typing import Any

import pytest

from dispatcher.model.policy import IdempotencyRule
from dispatcher.policies.idempotency import Begin, Claim, Entry, Join, Keys, No, Replay
from fanmesh.model.times import SECOND

RULE = IdempotencyRule(ttl=10 * SECOND, most=3)
BODY, OTHER = b"body", b"other"
NOW = 5 * SECOND


def begun(keys: Keys[str], key: str = "k", now: int = 0) -> Entry[str]:
    """The entry of a key that runs since `now`."""
    claim = keys.claim(RULE, key, BODY, now)
    assert isinstance(claim, Begin)
    return claim.entry


def made(state: str) -> tuple[Keys[str], Entry[str]]:
    """A book in which the key `k` has this state at NOW, and its entry."""
    keys: Keys[str] = Keys()
    entry = begun(keys)
    match state:
        case "unknown":
            keys.ended(RULE, entry, 0, keep=False)
        case "kept":
            keys.ended(RULE, entry, 0, keep=True)
        case "past":
            keys.ended(RULE, entry, NOW - RULE.ttl, keep=True)
    return keys, entry


def happened(state: str, event: str) -> tuple[str, int, int]:
    """What a claim found, and how many run and are kept afterwards."""
    keys, entry = made(state)
    claim: Claim[str] | None = None
    match event:
        case "same":
            claim = keys.claim(RULE, "k", BODY, NOW)
        case "other":
            claim = keys.claim(RULE, "k", OTHER, NOW)
        case "keep":
            keys.ended(RULE, entry, NOW, keep=True)
        case "forget":
            keys.ended(RULE, entry, NOW, keep=False)
    if isinstance(claim, Join | Replay):
        assert claim.entry is entry
    if isinstance(claim, Begin):
        assert claim.entry is not entry
    return claim.value if isinstance(claim, No) else type(claim).__name__.lower(), keys.running, keys.kept


TABLE = [
    ("unknown", "same", ("begin", 1, 0)),
    ("unknown", "other", ("begin", 1, 0)),
    ("unknown", "keep", ("nonetype", 0, 0)),
    ("unknown", "forget", ("nonetype", 0, 0)),
    ("running", "same", ("join", 1, 0)),
    ("running", "other", ("reused", 1, 0)),
    ("running", "keep", ("nonetype", 0, 1)),
    ("running", "forget", ("nonetype", 0, 0)),
    ("kept", "same", ("replay", 0, 1)),
    ("kept", "other", ("reused", 0, 1)),
    ("kept", "keep", ("nonetype", 0, 1)),
    ("kept", "forget", ("nonetype", 0, 1)),
    ("past", "same", ("begin", 1, 0)),
    ("past", "other", ("begin", 1, 0)),
    ("past", "keep", ("nonetype", 0, 1)),
    ("past", "forget", ("nonetype", 0, 1)),
]


@pytest.mark.parametrize(("state", "event", "expected"), TABLE, ids=[f"{row[0]}-{row[1]}" for row in TABLE])
def test_each_event_in_each_state(state: str, event: str, expected: tuple[str, int, int]) -> None:
    """The table of the state machine, complete. An ending counts once: of an entry that has ended it changes nothing."""
    assert happened(state, event) == expected


def test_a_reply_is_kept_for_its_time_from_its_end() -> None:
    """To the last ns of `ttl`, counted from the ending and not from the beginning."""
    for late, expected in ((-1, Replay), (0, Begin)):
        keys: Keys[str] = Keys()
        keys.ended(RULE, begun(keys), NOW, keep=True)
        assert isinstance(keys.claim(RULE, "k", BODY, NOW + RULE.ttl + late), expected)


def test_a_ttl_of_nothing_keeps_nothing() -> None:
    """Then only those who ask while it runs are joined."""
    keys: Keys[str] = Keys()
    keys.ended(IdempotencyRule(ttl=0), begun(keys), NOW, keep=True)
    assert keys.kept == 0


def test_the_end_of_an_older_run_leaves_the_newer_alone() -> None:
    """A run that was given up and ends later does not end its successor under the same key."""
    keys: Keys[str] = Keys()
    first = begun(keys)
    keys.ended(RULE, first, 1, keep=False)
    second = begun(keys, now=2)
    keys.ended(RULE, first, 3, keep=True)
    claim = keys.claim(RULE, "k", BODY, 4)
    assert isinstance(claim, Join)
    assert claim.entry is second


def test_the_oldest_reply_makes_room() -> None:
    """At `most` entries the reply that ended first goes, whichever began first."""
    keys: Keys[str] = Keys()
    a, b, c = (begun(keys, key) for key in "abc")
    for at, entry in enumerate((b, a, c)):
        keys.ended(RULE, entry, at, keep=True)
    begun(keys, "d", now=4)
    found: dict[str, Any] = {key: keys.claim(RULE, key, BODY, 5) for key in "ac"}
    assert [type(claim) for claim in found.values()] == [Replay, Replay]
    assert isinstance(keys.claim(RULE, "b", BODY, 5), Begin)


def test_what_runs_is_never_dropped() -> None:
    """When all entries run there is no room for another key, but those that run can still be joined."""
    keys: Keys[str] = Keys()
    for key in "abc":
        begun(keys, key)
    assert keys.claim(RULE, "d", BODY, 1) is No.FULL
    assert isinstance(keys.claim(RULE, "a", BODY, 1), Join)
    assert (keys.running, keys.kept) == (3, 0)


def test_what_is_past_its_time_is_dropped_without_being_asked_for() -> None:
    """Any claim frees what has expired, so that keys which never come again are not kept until `most`."""
    keys: Keys[str] = Keys()
    for key in "ab":
        keys.ended(RULE, begun(keys, key), 0, keep=True)
    begun(keys, "c", now=RULE.ttl)
    assert keys.kept == 0


SMALL = IdempotencyRule(ttl=10 * SECOND, most=100, most_bytes=1000)


def test_the_oldest_replies_make_room_for_bytes() -> None:
    """As many as the new one needs, and no more; exactly the bound is not too much."""
    keys: Keys[str] = Keys()
    for key, size in (("a", 400), ("b", 300), ("c", 300)):
        keys.ended(SMALL, begun(keys, key), 0, keep=True, size=size)
    assert (keys.kept, keys.kept_bytes) == (3, 1000)
    keys.ended(SMALL, begun(keys, "d"), 0, keep=True, size=401)
    found = {key: type(keys.claim(SMALL, key, BODY, 1)) for key in "cd"}
    assert (found, keys.kept, keys.kept_bytes) == ({"c": Replay, "d": Replay}, 2, 701)


def test_a_reply_that_is_larger_than_the_bound_is_not_kept() -> None:
    """And takes nobody's place; the key is free again."""
    keys: Keys[str] = Keys()
    keys.ended(SMALL, begun(keys, "a"), 0, keep=True, size=400)
    keys.ended(SMALL, begun(keys, "b"), 0, keep=True, size=1001)
    assert (keys.running, keys.kept, keys.kept_bytes) == (0, 1, 400)
    assert isinstance(keys.claim(SMALL, "b", BODY, 1), Begin)


def test_bytes_are_given_back_however_a_reply_is_dropped() -> None:
    """By its time, in the order of ending or behind an older one that is kept for longer; by number; by a reload."""
    keys: Keys[str] = Keys()
    long = IdempotencyRule(ttl=100 * SECOND, most=2, most_bytes=1000)
    keys.ended(long, begun(keys, "a"), 0, keep=True, size=100)
    keys.ended(SMALL, begun(keys, "b"), 0, keep=True, size=200)
    assert isinstance(keys.claim(SMALL, "b", BODY, SMALL.ttl), Begin)
    assert keys.kept_bytes == 100
    assert isinstance(keys.claim(long, "c", BODY, SMALL.ttl), Begin)  # "b" runs, and two are the most
    assert (keys.running, keys.kept, keys.kept_bytes) == (2, 0, 0)
    keys = Keys()
    keys.ended(SMALL, begun(keys, "d"), 0, keep=True, size=900)
    assert isinstance(keys.claim(IdempotencyRule(most_bytes=899), "e", BODY, 1), Begin)
    assert (keys.kept, keys.kept_bytes) == (0, 0)
    keys.ended(SMALL, begun(keys, "f"), 0, keep=True, size=10)
    begun(keys, "g", now=SMALL.ttl)
    assert keys.kept_bytes == 0

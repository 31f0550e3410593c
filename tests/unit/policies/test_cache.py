"""The answers that are kept: every age with everything that may be asked, both bounds, and who makes room."""

import pytest

from dispatcher.model.caching import CacheRule, Kept
from dispatcher.policies.cache import Found, Store, disproves, may_stand_in, whole
from dispatcher.policies.worth import OF_THE_REQUEST
from fanmesh.model.fault import Code, Fault, FaultKind, Origin
from fanmesh.model.times import SECOND
from fanmesh.model.values import Opaque

A, B, C = b"a", b"b", b"c"
RULE = CacheRule(ttl=10 * SECOND, stale=5 * SECOND)


def kept(text: str = "1") -> Kept:
    """An answer."""
    return Kept(text.encode())


def held(rule: CacheRule, **answers: str) -> Store:
    """A store that was told these at 0, in this order."""
    store = Store(rule)
    for key, text in answers.items():
        store.store(key.encode(), kept(text), 0)
    return store


TABLE = [
    # age in s, fresh, may stand in
    (0, True, True),
    (9, True, True),
    (10, False, True),
    (14, False, True),
    (15, False, False),
    (60, False, False),
]


@pytest.mark.parametrize(("age", "fresh", "stands_in"), TABLE, ids=[f"{row[0]}s" for row in TABLE])
def test_each_age(age: int, fresh: bool, stands_in: bool) -> None:  # noqa: FBT001  (a table)
    """To the last ns of `ttl` it is given again, and to the last ns of `stale` behind that it may stand in."""
    now = age * SECOND
    expected = Found(kept(), now)
    assert held(RULE, a="1").stand_in(A, now) == (expected if stands_in else None)
    assert held(RULE, a="1").fresh(A, now) == (expected if fresh else None)


def test_a_key_that_nobody_has_stored() -> None:
    """Is found by nobody."""
    store = held(RULE, a="1")
    assert (store.fresh(B, 0), store.stand_in(B, 0)) == (None, None)


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        (CacheRule(ttl=0), (None, None)),
        (CacheRule(ttl=0, stale=SECOND), (None, Found(kept(), 0))),
        (CacheRule(ttl=SECOND), (Found(kept(), 0), Found(kept(), 0))),
    ],
    ids=["joins only", "stands in only", "no stale"],
)
def test_each_half_alone(rule: CacheRule, found: tuple[Found | None, Found | None]) -> None:
    """Either time may be 0; with both nothing is kept at all."""
    store = held(rule, a="1")
    assert (store.fresh(A, 0), store.stand_in(A, 0)) == found
    assert (len(store), store.bytes) == ((1, 1) if found[1] else (0, 0))


def test_a_newer_answer_takes_the_place_of_the_older() -> None:
    """Its age begins anew, and only it counts against the bounds."""
    store = held(RULE, a="123")
    store.store(A, kept("4"), 9 * SECOND)
    assert store.fresh(A, 18 * SECOND) == Found(kept("4"), 9 * SECOND)
    assert (len(store), store.bytes) == (1, 1)


def test_at_most_so_many_entries() -> None:
    """The one that was not asked for the longest makes room; being asked for counts, and so does standing in."""
    store = held(CacheRule(ttl=10, entries=2), a="1", b="1")
    assert store.fresh(A, 1) is not None
    store.store(C, kept(), 1)
    assert [store.fresh(key, 1) is not None for key in (A, B, C)] == [True, False, True]
    assert store.stand_in(A, 1) is not None
    store.store(B, kept(), 1)
    assert [store.fresh(key, 1) is not None for key in (A, B, C)] == [True, True, False]


def test_at_most_so_many_bytes() -> None:
    """A large answer takes the place of as many as it needs; one larger than all together is not kept, nor what it replaces."""
    store = held(CacheRule(ttl=10, size=10), a="1234", b="1234")
    store.store(C, kept("123456"), 0)
    assert ([key for key in (A, B, C) if store.fresh(key, 0)], store.bytes) == ([B, C], 10)
    store.store(B, kept("12345678901"), 0)
    assert ([key for key in (A, B, C) if store.fresh(key, 0)], store.bytes) == ([C], 6)


def test_what_is_past_all_use_is_dropped_without_being_asked_for() -> None:
    """By any later question or answer, so that keys which never come again do not stay until something makes room."""
    for ask in (lambda store: store.fresh(C, 15 * SECOND), lambda store: store.store(C, kept("12"), 15 * SECOND)):
        store = held(RULE, a="1")
        store.store(B, kept(), SECOND)
        ask(store)
        assert (store.stand_in(A, SECOND), store.stand_in(B, SECOND)) == (None, Found(kept(), 0))


def test_dropped() -> None:
    """It is gone; what is not there may be dropped, too."""
    store = held(RULE, a="12", b="1")
    store.drop(A)
    store.drop(A)
    assert (store.stand_in(A, 0), len(store), store.bytes) == (None, 1, 1)


def test_the_size_of_an_answer() -> None:
    """JSON text, or the bytes that nobody opens, and the labels."""
    assert Kept(b"12345").size == 5
    assert Kept(Opaque("image/png", b"123", is_message=False)).size == 3
    assert Kept(b"1", 0.5, {"model": "small"}).size == 1 + 10


@pytest.mark.parametrize(
    ("labels", "all_there"),
    [
        (None, True),
        ({}, True),
        ({"fanmesh-complete": "true"}, True),
        ({"fanmesh-complete": "false"}, False),
        ({"complete": "false"}, True),
    ],
)
def test_an_answer_that_says_that_something_is_missing(labels: dict[str, str] | None, all_there: bool) -> None:  # noqa: FBT001
    """A dispatcher that is a worker says so with a label; every other answer is whole."""
    assert whole(Kept(b"1", None, labels)) is all_there


@pytest.mark.parametrize("code", [code for code in Code if code is not Code.OK], ids=lambda code: code.name)
def test_what_an_old_answer_may_stand_in_for(code: Code) -> None:
    """For failures to answer. What is said of the request (gone, not yours to see) is an answer, and a newer one."""
    fault = Fault.of(code)
    assert may_stand_in(fault) is (code not in OF_THE_REQUEST)
    assert disproves(fault) is (code in OF_THE_REQUEST)


def test_what_we_say_ourselves_disproves_nothing() -> None:
    """An input that makes no request was never heard by the worker."""
    ours = Fault(FaultKind.WORKER_ERROR, Code.INVALID_ARGUMENT, origin=Origin.LOCAL, sent=False)
    assert (may_stand_in(ours), disproves(ours)) == (False, False)

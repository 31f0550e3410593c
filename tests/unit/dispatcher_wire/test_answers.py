"""Which calls are equal: by everything that the worker is told, and by the meaning of what it is asked."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.layers.types import BranchRun
from dispatcher.model.caching import CacheRule
from dispatcher.model.method import Method
from dispatcher.model.plan import Node, Plan, Worker
from dispatcher.model.policy import FaultRule
from dispatcher.model.reading import Reading, Unreadable
from dispatcher.model.request import Request
from dispatcher.policies.cache import INCOMPLETE
from dispatcher.wire.answers import DIGEST, canonical, key_of, pack, unpack
from dispatcher.wire.outbound import COMPLETE
from fanmesh.model.values import JsonValue, Opaque, Value
from fanmesh.payload import Box
from fanmesh.v1.payload_pb2 import Payload

LISTENS = Worker("w", "w:1", attributes=("tenant", "tier"), metadata=("authorization", "x-b"))
PLAIN = CacheRule(ttl=1)


def run_of(source: Box | Value, worker: Worker = LISTENS, **request: Any) -> BranchRun:
    """A branch of a request for this input."""
    box = source if isinstance(source, Box) else Box.of(source)
    node = Node("a", worker)
    return BranchRun(Request("r", "p", box, 0, **request), Plan("p", (node,)), node, 0, 0, lambda *_: None)


def key(source: Box | Value = 1, worker: Worker = LISTENS, rule: CacheRule = PLAIN, **request: Any) -> bytes:
    """Its key; there is one."""
    found = key_of(run_of(source, worker, **request), rule)
    assert found is not None
    assert len(found) == DIGEST
    return found


def boxed(text: str) -> Box:
    """An input as a caller sends it."""
    return Box(Payload(json=text))


def test_the_same_input_in_other_bytes_is_the_same() -> None:
    """White space, the order of keys, Struct or JSON text: no worker of ours can tell."""
    struct = Payload()
    struct.data.update({"b": [True, None], "a": 1})
    wordy = boxed('{ "a": 1,\n "b": [true, null] }')
    assert key(wordy) == key(boxed('{"b":[true,null],"a":1}')) == key(Box(struct)) == key({"a": 1, "b": [True, None]})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 2),
        (1, "1"),
        (1, True),
        (0, None),
        ([], {}),
        ([[1], 2], [[1, 2]]),
        ({"a": {"b": 1}}, {"a": 1, "b": 1}),
        ("a", Opaque("text/plain", b"a", is_message=False)),
        (Opaque("text/plain", b"a", is_message=False), Opaque("text/plain", b"a", is_message=True)),
        (Opaque("ab", b"c", is_message=False), Opaque("a", b"bc", is_message=False)),
        (Opaque("", b"json:1:1", is_message=False), 1),
    ],
)
def test_another_input_is_another_key(one: Value, other: Value) -> None:
    """Also where its parts would spell the same."""
    assert key(one) != key(other)


TOLD: dict[str, dict[str, Any]] = {
    "nothing": {},
    "an attribute": {"attributes": {"tenant": "x"}},
    "another": {"attributes": {"tier": "x"}},
    "both": {"attributes": {"tenant": "x", "tier": "x"}},
    "an empty one": {"attributes": {"tenant": ""}},
    "metadata": {"metadata": (("authorization", "x"),)},
    "twice": {"metadata": (("authorization", "x"), ("authorization", "x"))},
    "two values": {"metadata": (("authorization", "x"), ("authorization", "y"))},
    "in another order": {"metadata": (("authorization", "y"), ("authorization", "x"))},
    "of another name": {"metadata": (("x-b", "x"),)},
    "binary": {"metadata": (("x-b", b"\x00"),)},
    "hops": {"headers": (("fanmesh-hops", "1"),)},
    "shadow": {"shadow": True},
    "name and value run together": {"attributes": {"tenant": "xtier"}},
}


def test_whatever_the_worker_is_told_of_the_caller_counts() -> None:
    """All of these are different, with a key of one's own, too."""
    for rule in (PLAIN, CacheRule(ttl=1, key=lambda _reading: "same")):
        keys = {what: key(rule=rule, **request) for what, request in TOLD.items()}
        assert len(set(keys.values())) == len(TOLD), keys


@pytest.mark.parametrize(
    "request_",
    [
        {"attributes": {"secret": "x"}},
        {"metadata": (("cookie", "x"),)},
        {"headers": (("fanmesh-request-id", "r2"), ("traceparent", "00-1"), ("fanmesh-criticality", "SHEDDABLE"))},
        {"remaining": 5},
        {"idempotency_key": "k"},
        {"faults": (("fanmesh-fault-abort-code", "14"),)},
    ],
)
def test_what_it_is_not_told_does_not(request_: dict[str, Any]) -> None:
    """Nor what no answer may depend on: the request's id, its trace, its deadline."""
    assert key(**request_) == key()


def test_metadata_is_ordered_within_a_name_only() -> None:
    """Which of two names came first no worker can tell."""
    pairs = (("x-b", "1"), ("authorization", "2"), ("x-b", "3"))
    assert key(metadata=pairs) == key(metadata=(pairs[1], pairs[0], pairs[2])) != key(metadata=pairs[::-1])


def test_who_asks_for_faults_is_given_them() -> None:
    """Of a worker that listens to it, and not the answer of somebody who has not asked."""
    listens = Worker("w", "w:1", faults=FaultRule(headers=True))
    asks = {"faults": (("fanmesh-fault-abort-code", "14"),)}
    assert key(1, listens, **asks) != key(1, listens)


def test_a_key_of_ones_own_takes_the_place_of_the_input() -> None:
    """It reads the request; what the branch's `input` makes of that does not count beside it."""
    own = CacheRule(ttl=1, key=lambda reading: [reading.input, reading.attributes.get("tenant")])
    run = run_of(7)
    run.input = Box.of("mapped")
    assert key_of(run, own) == key(7, rule=own) != key(8, rule=own)


def test_attributes_that_the_input_was_made_of_count_beside_a_key() -> None:
    """The worker is told them, although not as attributes: a key that leaves them out would mix those whom they tell apart."""
    mixed = CacheRule(ttl=1, key=lambda _reading: "same", told=("secret",))
    assert key(rule=mixed, attributes={"secret": "x"}) != key(rule=mixed, attributes={"secret": "y"})
    assert key(rule=mixed, attributes={"tenant": "x"}) != key(rule=mixed, attributes={"tenant": "y"})


def test_when_there_is_no_telling() -> None:
    """A malformed input, a key that cannot be evaluated on it, a key that reads a malformed input."""
    malformed = boxed("{")

    def reads(reading: Reading) -> JsonValue | Unreadable:
        assert not isinstance(reading.input, Opaque)
        return reading.input

    assert key_of(run_of(malformed), PLAIN) is None
    assert key_of(run_of(malformed), CacheRule(ttl=1, key=reads)) is None
    assert key_of(run_of(1), CacheRule(ttl=1, key=lambda _reading: Unreadable("no id"))) is None


def test_methods_and_workers_are_told_apart_by_the_cache() -> None:
    """Not here: each branch has its own, which is dropped when who answers changes."""
    assert key(1, LISTENS) == key(
        1, Worker("v", "v:1", LISTENS.effect, attributes=LISTENS.attributes, metadata=LISTENS.metadata)
    )
    assert key(1, Worker("w", method=Method("a.B/C"))) == key(1, Worker("w"))


def test_the_label_of_an_incomplete_answer() -> None:
    """It is that with which a dispatcher that is a worker says it."""
    assert INCOMPLETE == (COMPLETE, "false")


json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
values = json | st.builds(Opaque, st.text(max_size=3), st.binary(max_size=8), st.booleans())


@given(values)
def test_an_answer_comes_back_as_it_was(value: Any) -> None:
    """To the type of its numbers, and the order of its keys; and it is a copy."""
    again = unpack(pack(value))
    assert repr(again) == repr(value)
    assert again is not value or not isinstance(value, dict | list)


@given(values, values)
def test_canonical_bytes_are_equal_where_values_are(one: Any, other: Any) -> None:
    """And only there; neither is the beginning of the other."""
    same = repr(sorted_keys(one)) == repr(sorted_keys(other))
    assert (canonical(one) == canonical(other)) is same
    assert same or not canonical(one).startswith(canonical(other))


def sorted_keys(value: Any) -> Any:
    """The value with its maps in order."""
    match value:
        case dict():
            return {name: sorted_keys(value[name]) for name in sorted(value)}
        case list():
            return [sorted_keys(item) for item in value]
        case _:
            return value

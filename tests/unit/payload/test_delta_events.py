"""What the clients make of the messages of a stream of deltas, among them those that no dispatcher of ours sends."""

from __future__ import annotations

import pytest

from fanmesh.client_codec import UNREADABLE, Events
from fanmesh.model.delta import Op, OpKind
from fanmesh.model.fault import Code
from fanmesh.result import DispatchFailed, Snapshot
from fanmesh.v1 import dispatcher_pb2
from fanmesh.v1.payload_pb2 import Payload


def delta(*ops: tuple[str, int, str | None], ratio: float = 0.0) -> bytes:
    """A message of these operations: path, number of the kind, JSON of the value."""
    out = dispatcher_pb2.DispatchStreamResponse(delta=dispatcher_pb2.Delta())
    for path, kind, text in ops:
        out.delta.ops.add(path=path, kind=kind, value=None if text is None else Payload(json=text))  # type: ignore[arg-type]
    out.coverage.ratio = ratio
    return out.SerializeToString()


def test_deltas_become_the_result_so_far() -> None:
    """Each event has the whole value, the coverage and the operations; one without operations has the value of before."""
    events = Events()
    first = events.read(delta(("", 4, '{"a":"x","b":[1]}')))
    second = events.read(delta(("/a", 2, '"y"'), ("/b", 3, None), ("/c", 1, "null"), ratio=0.5))
    third = events.read(delta(ratio=1.0))
    assert isinstance(first, Snapshot)
    assert isinstance(second, Snapshot)
    assert isinstance(third, Snapshot)
    assert first.value == {"a": "x", "b": [1]}
    assert second.value == third.value == {"a": "xy", "c": None}
    assert [event.coverage.ratio for event in (first, second, third)] == [0.0, 0.5, 1.0]
    assert second.ops == (Op("/a", OpKind.APPEND, "y"), Op("/b", OpKind.REMOVE), Op("/c", OpKind.SET))
    assert third.ops == ()


@pytest.mark.parametrize(
    "raw",
    [delta(("/a", 2, '"y"')), delta(("", 0, "1")), delta(("", 9, "1")), delta(("", 4, "{"))],
    ids=["does not fit", "no kind", "unknown kind", "no JSON"],
)
def test_what_cannot_be_folded_fails_the_call(raw: bytes) -> None:
    """A lost or a strange delta is told as an unreadable reply, and never as a wrong value."""
    with pytest.raises(DispatchFailed, match="delta: ") as failed:
        Events().read(raw)
    assert (failed.value.code, failed.value.reason) == (Code.INTERNAL, UNREADABLE)

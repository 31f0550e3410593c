"""The messages of a stream of deltas: what is new to this caller, as operations.

Made when a message is about to be sent and not when something changes, so that a caller who was away is told once, and nothing
waits in a queue. What could not be sent (it is over the limit, or cannot be written in the kind asked for) was not told, and is
part of what comes next.
"""

from __future__ import annotations

from collections.abc import Sequence

from dispatcher.model.request import Refusal
from dispatcher.wire.outbound import over, written
from dispatcher.wire.view import Seen, View
from fanmesh.model.delta import Op, OpKind, Told, reset
from fanmesh.model.report import BranchReport
from fanmesh.payload import Kind
from fanmesh.reporting import to_coverage
from fanmesh.v1 import dispatcher_pb2


class Deltas:
    """One stream. Values are written as `kind`; a message is at most `limit` bytes with what a stream puts around it."""

    __slots__ = ("_kind", "_limit", "_mode", "_told", "_view")

    def __init__(self, kind: Kind, limit: int, view: View) -> None:
        self._kind = kind
        self._limit = limit
        self._view = view
        self._mode = view.mode
        self._told = Told()

    def shown(self, seen: Seen) -> dispatcher_pb2.DispatchStreamResponse | None:
        """What is new in `seen`; None if nothing is, or it cannot be sent. After a fall-back of the merge it is the whole."""
        value, coverage = seen
        if isinstance(value, BranchReport):
            raise TypeError("a stream of deltas shows no branches")
        mode = self._view.mode
        ops = self._told.news(value, coverage, anew=mode is not self._mode)
        if ops is None:
            return None
        delta = self._written(ops)
        if delta is None and not (ops and ops[0].kind is OpKind.RESET):
            delta = self._written(reset(value))  # a result that can be sent is told, too, whatever was estimated
        if delta is None:
            return None
        self._mode = mode
        self._told.heard(value, coverage)
        return dispatcher_pb2.DispatchStreamResponse(delta=delta, coverage=to_coverage(coverage))

    def _written(self, ops: Sequence[Op]) -> dispatcher_pb2.Delta | None:
        delta = dispatcher_pb2.Delta()
        for op in ops:
            message = delta.ops.add(path=op.path)
            message.kind = int(op.kind)  # type: ignore[assignment]  # an enum is a number at run time
            if op.kind is not OpKind.REMOVE:
                value = written(op.value, self._kind)
                if isinstance(value, Refusal):
                    return None
                message.value.CopyFrom(value)
        return None if over(delta, self._limit) else delta

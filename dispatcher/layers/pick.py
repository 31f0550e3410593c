"""Layer 5: choose the endpoint. Synchronous: nothing is awaited between the choice and the wire.

Round robin over a worker's endpoints, passing over those that are not worth a call while another one is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from dispatcher.layers.types import Attempt, AttemptCall, AttemptLayer, Sink
from fanmesh.model.fault import Code, Fault, FaultKind, Origin
from fanmesh.model.outcome import Outcome


class Endpoint(Protocol):
    """One address of a worker."""

    @property
    def address(self) -> str:
        """`host:port`, as it stands in reports."""
        ...

    def ready(self) -> bool:
        """Whether it is connected, or has not been tried yet."""
        ...


Endpoints: TypeAlias = Callable[[str], Sequence[Endpoint]]
"""The endpoints of a worker, by its name, as they are known now."""


def round_robin(candidates: Sequence[Endpoint], turn: int) -> Endpoint | None:
    """The first ready one from position `turn` on; the one at `turn` if none is ready; None if there are none."""
    count = len(candidates)
    if not count:
        return None
    if count == 1:
        return candidates[0]
    for step in range(count):
        candidate = candidates[(turn + step) % count]
        if candidate.ready():
            return candidate
    return candidates[turn % count]


def pick(endpoints: Endpoints) -> AttemptLayer:
    """Set `attempt.endpoint`, or end the attempt as never sent if the worker has no address."""
    turns: dict[str, int] = {}

    def layer(call: AttemptCall) -> AttemptCall:
        async def picked(attempt: Attempt, sink: Sink) -> Outcome:
            name = attempt.run.node.worker.name
            turn = turns.get(name, 0)
            turns[name] = turn + 1
            endpoint = round_robin(endpoints(name), turn)
            if endpoint is None:
                return Fault(
                    FaultKind.WORKER_ERROR,
                    Code.UNAVAILABLE,
                    f"worker {name}: no address is known for {attempt.run.node.worker.target}",
                    origin=Origin.LOCAL,
                    sent=False,
                    retryable=True,
                )
            attempt.endpoint = endpoint
            return await call(attempt, sink)

        return picked

    return layer

"""`fanout(…)`: what `asyncio.gather` should have been for calls that may be slow, fail, or not matter.

The same engine as behind a server, so the same rules: a deadline that holds, branches that are left behind, an honest report.
Results are the objects that the coroutines returned: nothing is serialised, because nothing leaves the process.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from dispatcher.assembly import assemble, failed
from dispatcher.flow.dispatch import dispatch
from dispatcher.flow.reaper import TaskReaper
from dispatcher.layers.types import Attempt, Sink
from dispatcher.model.plan import Catalogue, Node, Plan, Worker
from dispatcher.model.request import Request
from dispatcher.wire.observers import Nobody
from fanmesh.model.completion import CompletionRule
from fanmesh.model.fault import Code, Fault, FaultKind, Origin
from fanmesh.model.outcome import Outcome, Success
from fanmesh.model.times import nanoseconds
from fanmesh.payload import Box
from fanmesh.result import Result
from fanmesh.runtime.clock import LoopClock


@dataclass(frozen=True, slots=True)
class Fanned(Result[dict[str, Any]]):
    """What came back in time: `value` by branch. `errors`: what the failed ones raised."""

    errors: Mapping[str, BaseException] = field(default_factory=dict)


class _Call:
    """One coroutine function as an endpoint; keeps what it returned."""

    __slots__ = ("address", "error", "function", "returned")

    spare = False

    def __init__(self, name: str, function: Callable[[], Awaitable[Any]]) -> None:
        self.address = f"local:{name}"
        self.function = function
        self.returned: Any = None
        self.error: BaseException | None = None

    def ready(self) -> bool:
        return True

    async def call(self, _attempt: Attempt, _sink: Sink) -> Outcome:
        try:
            self.returned = await self.function()
        except Fault as fault:
            self.error = fault
            return fault
        except (Exception, SystemExit) as error:  # noqa: BLE001  (whatever a branch raises is its failure, as with gather)
            self.error = error
            return Fault(FaultKind.WORKER_ERROR, Code.UNKNOWN, f"{type(error).__name__}: {error}", origin=Origin.LOCAL)
        return Success(None)


async def fanout(
    branches: Mapping[str, Callable[[], Awaitable[Any]]],
    *,
    timeout: float | None = None,  # noqa: ASYNC109  (the whole fan-out's deadline: it decides, it does not only interrupt)
    soft: float | None = None,
    required: Collection[str] = (),
    min_success: int = 1,
) -> Fanned:
    """Run every coroutine function at once and return what there is in time.

    `timeout` seconds for all (default 10); after `soft` seconds those that are not `required` are no longer waited for. Raises
    DispatchFailed if a required one is missing or fewer than `min_success` answered; it carries the report, and its cause is
    what the first of them raised. Cancelling it cancels all. ValueError if a required branch does not exist.
    """
    if unknown := set(required) - set(branches):
        raise ValueError(f"required: no branch {', '.join(sorted(unknown))}; there are {', '.join(branches)}")
    calls = {name: _Call(name, function) for name, function in branches.items()}
    late = nanoseconds("soft", soft)
    plan = Plan(
        "fanout",
        tuple(Node(name, Worker(name), required=name in required, soft=late) for name in branches),
        latency=nanoseconds("timeout", timeout),
        merge_reserve=0,
        completion=CompletionRule(min_success=min_success),
    )
    clock = LoopClock(asyncio.get_running_loop())
    engine = assemble(
        clock=clock,
        endpoints=lambda worker: [calls[worker.name]],
        observer=Nobody(),
        reaper=TaskReaper(),
    )
    request = Request(uuid.uuid4().hex, plan.name, Box.of(None), clock.now())
    reply = await dispatch(engine, Catalogue({plan.name: plan}, {}), request)
    errors = {name: call.error for name, call in calls.items() if call.error is not None}
    if reply.refusal is not None:
        first = next((errors[name] for name in (*required, *branches) if name in errors), None)
        raise failed(reply.refusal, reply.report) from first
    if reply.report is None:
        raise AssertionError("a reply without a refusal has a report")
    merged = {row.branch: calls[row.branch].returned for row in reply.report.branches if row.merged}
    return Fanned(merged, reply.report, errors)

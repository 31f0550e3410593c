"""Layer 5: choose the endpoint and take its permits. Synchronous: nothing is awaited between the choice and the wire.

What was taken is given back in `finally`, and the books learn from the ending there: a call that is cancelled returns its
permits like any other. A defect below, or a worker that cancels itself, is an outcome here already and not only of the branch,
because it must not beat a healthy attempt beside it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from dispatcher.layers.outcomes import defect, gave_up
from dispatcher.layers.types import Attempt, AttemptCall, AttemptLayer, Now, Sink, Uniform
from dispatcher.model.plan import Worker
from dispatcher.model.policy import NO_LIMIT, NONE
from dispatcher.policies.attempts import Denied
from dispatcher.policies.books import Books
from dispatcher.policies.picking import Ask, Picked, nowhere, pick, quick
from dispatcher.policies.settling import settle
from fanmesh.model.fault import Fault
from fanmesh.model.outcome import Outcome
from fanmesh.model.states import AttemptKind


class Endpoint(Protocol):
    """One address of a worker."""

    @property
    def address(self) -> str:
        """`host:port`, as it stands in reports."""
        ...

    @property
    def spare(self) -> bool:
        """Whether it is a second connection to an address that has one: only for an attempt beside another."""
        ...

    def ready(self) -> bool:
        """Whether it is connected, or has not been tried yet."""
        ...


Endpoints: TypeAlias = Callable[[Worker], Sequence[Endpoint]]
"""The endpoints of a worker, as they are known now. Asked for the worker that the request began with, and not by its name."""


def choose(endpoints: Endpoints, books: Books, *, now: Now, uniform: Uniform) -> AttemptLayer:
    """Set `attempt.endpoint` and let it leave, or end it with the reason why nobody may be called."""

    def layer(call: AttemptCall) -> AttemptCall:
        async def picked(attempt: Attempt, sink: Sink) -> Outcome:
            run, at = attempt.run, now()
            worker = run.node.worker
            policy = worker.policy
            targets = endpoints(worker)
            if len(targets) == 1 and policy is NONE and worker.limit is NO_LIMIT:  # nothing to choose, nothing to learn
                attempt.endpoint = targets[0]
                attempt.leave(attempt, at)
                return await call(attempt, sink)
            if not targets:
                return nowhere(worker.name, worker.target)
            book = books.of(worker.name)
            chosen: Picked | Fault | None = None
            if not run.attempts:
                chosen = quick(book, targets, policy, worker.limit, at, uniform(), uniform())
            if chosen is None:
                tried = [(one.endpoint.address, one.endpoint.spare) for one in run.attempts]
                ask = Ask(policy, worker.limit, tried, attempt.kind is AttemptKind.HEDGE, attempt.deadline)
                chosen = pick(book, targets, ask, at, uniform(), uniform())
            if isinstance(chosen, Fault):
                what, why = "refused", chosen.kind.value
                if attempt.kind is AttemptKind.HEDGE:
                    what, why = "hedge_denied", Denied.NO_OTHER_ENDPOINT.value
                book.count(what, why)
                run.note(what, why, at)
                return chosen
            outcome: Outcome | None = None
            try:
                attempt.endpoint = targets[chosen.at]
                attempt.elsewhere = len(targets) > len(run.attempts) + 1
                if chosen.permit.probe:
                    attempt.kind = AttemptKind.PROBE if attempt.kind is AttemptKind.FIRST else attempt.kind
                    run.note("probe", "fail_open" if chosen.forced else "due", at, attempt.endpoint.address)
                attempt.leave(attempt, at)
                outcome = await call(attempt, sink)
            except asyncio.CancelledError:
                if (task := asyncio.current_task()) is None or task.cancelling():
                    raise
                outcome = gave_up()
            except Exception as bug:  # noqa: BLE001  (another attempt may do better, so it is an outcome like any other)
                outcome = defect(bug, asyncio.current_task())
            finally:
                ended = now()
                change = settle(
                    book,
                    chosen,
                    policy,
                    outcome,
                    sent_at=at,
                    deadline=attempt.deadline,
                    answered_at=attempt.answered_at,
                    now=ended,
                    u=uniform(),
                )
                if change is not None:
                    run.note(f"breaker_{change.after.value}", change.why.value, ended, chosen.book.address)
            return outcome

        return picked

    return layer

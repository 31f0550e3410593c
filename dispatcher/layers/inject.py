"""Layer 6: faults on purpose. Innermost, so that what is injected looks like the network to everything above.

A delay ends at the attempt's own deadline, as a slow network's would: then the answer is LOCAL_TIMEOUT and nothing is sent.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from dispatcher.layers.types import Attempt, AttemptCall, Now, Sink
from dispatcher.model.policy import FaultRule
from dispatcher.policies.books import Books
from dispatcher.policies.faults import draw, inject
from fanmesh.model.fault import Code, Fault, FaultKind, Origin
from fanmesh.model.outcome import Outcome

Sleep: TypeAlias = Callable[[int], Awaitable[None]]
"""Waits that many ns."""


def faults(books: Books, *, now: Now, sleep: Sleep) -> Callable[[AttemptCall], AttemptCall]:
    """Delay or fail attempts at workers that ask for it; all others pass."""

    def layer(call: AttemptCall) -> AttemptCall:
        def injected(attempt: Attempt, sink: Sink) -> Awaitable[Outcome]:
            rule = attempt.run.node.worker.faults
            return call(attempt, sink) if rule is None else injects(attempt, sink, rule)

        async def injects(attempt: Attempt, sink: Sink, rule: FaultRule) -> Outcome:
            worker = attempt.run.node.worker
            book = books.of(worker.name)
            book.injected += 1
            found = inject(rule, attempt.run.request.faults, *draw(rule, book.injected))
            if found.delay:
                book.count("fault", "delay")
                left = attempt.deadline - now()
                await sleep(min(found.delay, left))
                if found.delay >= left:
                    text = "no answer in time (injected)"
                    return Fault(FaultKind.LOCAL_TIMEOUT, Code.DEADLINE_EXCEEDED, text, origin=Origin.LOCAL, retryable=True)
            if found.abort is not None:
                book.count("fault", "abort")
                return Fault(FaultKind.WORKER_ERROR, found.abort, "injected", retryable=found.abort is Code.UNAVAILABLE)
            return await call(attempt, sink)

        return injected

    return layer

"""The Aggregator service as the dispatcher sees it: one channel, one breaker, and one session per request.

Who owns what is the point of this file. A stream may outlive its request by the time it takes to cancel it, so its task
belongs here and not to the request: whoever closes the aggregator waits until every stream has ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from dispatcher.flow.ports import Clock, Deliver
from dispatcher.policies.breaker import Breaker, Judgement, Permit, Transition
from dispatcher.policies.failover import RULE
from dispatcher.wire.aggregator_session import RemoteSession
from fanmesh.runtime.clock import uniform
from fanmesh.transport.port import Transport


def _unheard(_: object) -> None:
    """Nobody counts."""


class RemoteAggregator:
    """The aggregator at `target` (`host:port` or `unix:path`): one channel for all requests.

    `on_fallback` is called with a `Why` value for each request that had to be merged here, `on_change` when the breaker has
    changed. `acks` False switches the limit on acknowledgements off.
    """

    def __init__(
        self,
        transport: Transport,
        target: str,
        clock: Clock,
        on_fallback: Callable[[str], None] = _unheard,
        on_change: Callable[[Transition], None] = _unheard,
        *,
        acks: bool = True,
    ) -> None:
        self.channel = transport.connect(target.removeprefix("dns:///"))
        self.clock = clock
        self.on_fallback = on_fallback
        self.acks = acks
        self.breaker = Breaker()
        self._on_change = on_change
        self._live: dict[asyncio.Task[None], RemoteSession] = {}

    def open(self, deliver: Deliver, end: int) -> RemoteSession:
        """A session for one request, to be answered by `end`. Sends nothing yet."""
        return RemoteSession(self, deliver, end)

    def admit(self, end: int) -> Permit | None:
        """The right to ask it about a request that ends at `end`; None: it is left alone for now."""
        return self.breaker.acquire(self.clock.now(), end)

    def settle(self, permit: Permit, judgement: Judgement) -> None:
        """It has been asked, and that came of it."""
        change = self.breaker.settle(permit, judgement, RULE, self.clock.now(), uniform())
        if change is not None:
            self._on_change(change)

    def run(self, session: RemoteSession) -> asyncio.Task[None]:
        """Own the conversation of `session` until it has ended."""
        task = asyncio.ensure_future(session.converse())
        self._live[task] = session
        task.add_done_callback(self._ended)
        return task

    @property
    def running(self) -> int:
        """How many streams have not ended."""
        return len(self._live)

    async def aclose(self) -> None:
        """Close every session, wait until their streams have ended, and close the channel."""
        tasks = tuple(self._live)
        for session in tuple(self._live.values()):
            session.abort()
        if tasks:
            await asyncio.wait(tasks)
        await self.channel.close()

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._live[task]
        if not task.cancelled() and (bug := task.exception()) is not None:
            task.get_loop().call_exception_handler({"message": "an aggregator stream failed", "exception": bug, "task": task})

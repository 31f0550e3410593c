"""What the caller of a stream sees while its request runs.

A snapshot has a one-slot mailbox: a reader that is slow, or wants a pause between two, gets the newest and never a queue of
old ones. Branch events are few (two per branch) and are kept in order.

Deltas are seen as snapshots are, and become deltas only when they are sent (`deltas`). A queue of deltas would have to be
bounded, conflated and reset; the difference to what this caller was sent last is always one, however long it did not look.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from typing import Protocol

from dispatcher.flow.ports import AggregationSession, Clock, Deliver, Engine
from dispatcher.model.request import Refusal
from fanmesh.model.coverage import Coverage
from fanmesh.model.report import BranchReport
from fanmesh.model.states import AggregatorMode, EmitMode
from fanmesh.model.times import seconds
from fanmesh.model.values import Value

Seen = tuple[Value | BranchReport, Coverage]


class Ended(Protocol):
    """What a request ends in."""

    @property
    def refusal(self) -> Refusal | None:
        """Why it failed, if it did."""
        ...


class View:
    """The `Watch` of one stream, and the iterator over what it shows."""

    def __init__(self, emit: EmitMode, min_interval: int, clock: Clock) -> None:
        self._emit = emit
        self._whole = emit in {EmitMode.SNAPSHOT, EmitMode.DELTA}
        self._min_interval = min_interval
        self._clock = clock
        self._read: Callable[[], tuple[Value, Coverage]] | None = None
        self._rows: deque[tuple[BranchReport, Coverage]] = deque()
        self._changed = asyncio.Event()
        self._session: AggregationSession | None = None

    @property
    def wants(self) -> EmitMode:
        """What the request has to ask of its merge: deltas are made here, out of snapshots."""
        return EmitMode.SNAPSHOT if self._whole else self._emit

    @property
    def mode(self) -> AggregatorMode:
        """Where the merge runs now, of a request that runs on `engine`."""
        return AggregatorMode.EMBEDDED if self._session is None else self._session.mode

    def engine(self, engine: Engine) -> Engine:
        """The engine to run the request on: the same one. Of its session a view of deltas has to know where it merges."""
        if self._emit is not EmitMode.DELTA:
            return engine

        def aggregate(deliver: Deliver, end: int) -> AggregationSession:
            session = self._session = engine.aggregate(deliver, end)
            return session

        return replace(engine, aggregate=aggregate)

    def update(self, read: Callable[[], tuple[Value, Coverage]]) -> None:
        """The result so far has changed."""
        if self._whole:
            self._read = read
            self._changed.set()

    def branch(self, row: BranchReport, read: Callable[[], Coverage]) -> None:
        """A branch was sent, or has ended."""
        if self._emit is EmitMode.BRANCH_EVENTS:
            self._rows.append((row, read()))
            self._changed.set()

    async def until(self, reply: asyncio.Task[Ended]) -> AsyncGenerator[Seen]:
        """What there is to see until `reply` is done. If it is accepted, the last snapshot is its result."""
        not_before = self._clock.now()
        while not reply.done():
            self._changed.clear()  # first, because more may come while what is there is being sent
            for row in self._take_rows():
                yield row
            wait = not_before - self._clock.now()
            if self._read is not None and wait <= 0:
                read, self._read = self._read, None
                not_before = self._clock.now() + self._min_interval
                yield read()
                continue
            await self._wait(reply, seconds(wait) if self._read is not None else None)
        for row in self._take_rows():
            yield row
        if self._read is not None and reply.exception() is None and reply.result().refusal is None:
            yield self._read()

    def _take_rows(self) -> list[tuple[BranchReport, Coverage]]:
        rows = list(self._rows)
        self._rows.clear()
        return rows

    async def _wait(self, reply: asyncio.Task[Ended], within: float | None) -> None:
        changed = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait({changed, reply}, timeout=within, return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()

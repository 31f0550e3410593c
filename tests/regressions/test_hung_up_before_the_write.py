"""The last caller of a keyed request hangs up just before its write leaves: it leaves once, or not at all."""

from __future__ import annotations

import asyncio

import pytest

from dispatcher.flow.dispatch import dispatch
from dispatcher.flow.underway import Underway
from dispatcher.model.policy import IdempotencyRule
from dispatcher.model.request import Request
from dispatcher.wire.outbound import Finished, finish
from dispatcher.wire.replays import Replays, Ticket
from fanmesh.payload import Box, Kind
from fanmesh.testing import Lab, ends, ms

CONF = {
    "version": 1,
    "workers": {"w": {"target": "w:1", "effect": "write"}},
    "plans": {"p": {"budget": {"latency": "10s"}, "branches": {"w": {}}}},
}


@pytest.mark.parametrize("turns", range(5))
@pytest.mark.fanmesh(CONF)
async def test_the_write_is_sent_once(lab: Lab, turns: int) -> None:
    """A cancelled task hears of it in the next turn of the loop only, and a write that was ready would leave before."""
    worker = lab.worker("w").plays(ends("done", after=ms(500)))
    replays = Replays(IdempotencyRule, lab.clock, lab.reaper)

    async def story(underway: Underway) -> Finished:
        request = Request("r", "p", Box.of({}), lab.clock.now(), idempotency_key="k")
        return finish(await dispatch(lab._engine, lab.config.catalogue, request, None, underway), Kind.JSON, 1 << 20)

    async def caller() -> Finished:
        ticket = replays.claim("k", b"body", story)
        assert isinstance(ticket, Ticket)
        with ticket:
            await asyncio.wait((ticket.task,))
            return ticket.task.result()

    first = asyncio.create_task(caller())
    for _ in range(1 + turns):
        await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait((first,))
    assert replays.running == len(worker.calls)
    again = await caller()
    assert again.response.result.json == '{"w":"done"}'
    assert len(worker.calls) == 1

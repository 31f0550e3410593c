"""How a call of a worker ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from fanmesh.model.fault import Code, Fault
from fanmesh.workers import Context, Worker, worker
from fanmesh.workers.calling import answer, parts


async def once(_: Any) -> None:
    """A coroutine."""
    raise GeneratorExit


async def deeper(_: Any) -> None:
    """One that waits for another."""
    await once(None)


def thread(_: Any) -> None:
    """In a thread."""
    raise GeneratorExit


async def streamed(_: Any) -> AsyncIterator[int]:
    """After a part."""
    yield 1
    raise GeneratorExit


async def whole(one: Worker[Any], ctx: Context) -> None:
    """Ask for the answer."""
    await answer(one, None, ctx)


async def in_parts(one: Worker[Any], ctx: Context) -> None:
    """Ask for its parts."""
    async for _ in parts(one, None, ctx):
        pass


@pytest.mark.parametrize("asked", [whole, in_parts])
@pytest.mark.parametrize("function", [once, deeper, thread, streamed])
def test_a_generator_exit_of_a_workers_own_is_its_failure(
    function: Callable[..., Any], asked: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Python closes coroutines with it; raised by a worker it would leave the call without an answer."""
    caplog.set_level(logging.CRITICAL)
    ctx = Context()
    with pytest.raises(Fault) as failed:
        asyncio.run(asked(worker(function), ctx))
    type_told = "RuntimeError" if function is thread else "GeneratorExit"  # as of all that no future can carry
    assert (failed.value.code, failed.value.detail, ctx.cancelled) == (Code.INTERNAL, type_told, False)


@pytest.mark.parametrize(("asked", "streams"), [(whole, False), (in_parts, False), (whole, True)])
def test_a_call_that_is_closed_was_cancelled(asked: Callable[..., Any], *, streams: bool) -> None:
    """It is no failure of the worker's, and its clean-up runs."""
    cleaned: list[bool] = []

    class Waits:
        """Waits for ever, in no loop."""

        def __await__(self) -> Any:
            yield

    async def hangs(_: Any) -> None:
        try:
            await Waits()
        finally:
            cleaned.append(True)

    async def begins(_: Any) -> AsyncIterator[int]:
        await hangs(None)
        yield 1

    ctx = Context()
    call = asked(worker(begins if streams else hangs), ctx)
    call.send(None)
    call.close()
    assert (ctx.cancelled, cleaned) == (True, [True])

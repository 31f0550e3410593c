"""A worker in a process of its own, for tests that kill or stop one: `python -m tests.kit.worker_process`.

It says `port N` when it serves, and `called` at each call that it will never finish: `hangs` answers nothing at all, `begins`
one part. `answers` does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from fanmesh.workers import run, worker


def say(text: str) -> None:
    """To whoever started this."""
    print(text, flush=True)  # noqa: T201  (that is how it talks)


@worker("hangs")
async def hangs() -> Any:
    """Says that it was called, and no more."""
    say("called")
    await asyncio.get_running_loop().create_future()


@worker("begins")
async def begins() -> AsyncIterator[Any]:
    """One part, then nothing."""
    yield {"begun": True}
    say("called")
    await asyncio.get_running_loop().create_future()


@worker("answers")
async def answers() -> Any:
    """Comes after whatever was sent on the same connection before."""
    return "here"


if __name__ == "__main__":
    run(hangs, begins, answers, ready=lambda port: say(f"port {port}"), drain=1.0)

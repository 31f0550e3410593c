"""Misbehaving on purpose, for demos and tests: what is decided elsewhere is done here, before the worker is asked.

Inside the server and not in the worker's code, so that any worker can be made slow or broken without touching it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Final, Protocol, TypeAlias

from fanmesh.model.fault import Code, Fault

RUBBISH: Final = b"\xff\xff\xff\xff"
"""No protobuf message."""


class Act(Protocol):
    """What to do with one call: wait, then `outcome`, whose value is one of ok, fail, hang, rubbish, die, half-stream."""

    @property
    def delay_ns(self) -> int:
        """Nanoseconds to wait first."""
        ...

    @property
    def outcome(self) -> Enum:
        """What becomes of the call."""
        ...

    @property
    def code(self) -> Code:
        """The status, for `fail`."""
        ...

    @property
    def parts(self) -> int:
        """How many parts are sent before the stream breaks, for `half-stream`."""
        ...


Behaviour: TypeAlias = Callable[[str], Act | None]
"""The act for the next call of the worker of this name; None = it behaves."""

Sleep: TypeAlias = Callable[[int], Awaitable[None]]


class Rubbish(Exception):  # noqa: N818  (what is answered, not what went wrong)
    """Answer with bytes that are no message."""


async def perform(act: Act | None, sleep: Sleep) -> int | None:
    """Do it. Returns after how many parts the stream is to break, or None if it is not. Raises Fault or Rubbish."""
    if act is None:
        return None
    if act.delay_ns:
        await sleep(act.delay_ns)
    match act.outcome.value:
        case "fail":
            raise Fault.of(act.code, "asked to fail")
        case "hang":
            await asyncio.get_running_loop().create_future()
        case "rubbish":
            raise Rubbish
        case "die":
            os._exit(70)
        case "half-stream":
            return act.parts
    return None

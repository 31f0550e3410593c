"""What a fake worker does, said in the words of the rule under test: `ends(…)`, `fails(…)`, `hangs()`, `streams(…)`.

Scripts run on virtual time and answer on cue; nothing is patched, the whole engine runs above them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final, TypeAlias

from fanmesh.jsontext import plain
from fanmesh.model.fault import Code, Fault, FaultKind
from fanmesh.model.outcome import Outcome, Part, Success
from fanmesh.model.times import SECOND, whole
from fanmesh.model.values import Value

FAILURES: Final = {code.name: code for code in Code if code is not Code.OK}
"""gRPC's codes but OK, by name."""

PartTaker: TypeAlias = Callable[[Part], Awaitable[Fault | None]]
"""Hands a part to the engine; a fault ends the script: nobody wants more, or the part does not fit."""


@dataclass(frozen=True, slots=True)
class Script:
    """One attempt's behaviour. `play` gets the input and what takes parts."""

    play: Callable[[Value, PartTaker], Awaitable[Outcome]]
    text: str

    def __repr__(self) -> str:
        """As it was written."""
        return self.text


async def virtual_sleep(ns: int) -> None:
    """Let virtual time pass."""
    loop = asyncio.get_running_loop()
    passed = asyncio.Event()
    timer = loop.call_later(ns / SECOND, passed.set)
    try:
        await passed.wait()
    finally:
        timer.cancel()


def ends(value: Any = None, *, after: int = 0, confidence: float | None = None) -> Script:
    """Answer `value` after `after` ns."""
    whole("after", after)

    async def play(_: Value, _take: PartTaker) -> Outcome:
        await virtual_sleep(after)
        return Success(plain(value), confidence)

    return Script(play, f"ends({value!r}, after={after})")


def computes(function: Callable[[Any], Any], *, after: int = 0) -> Script:
    """Answer `function(input)` after `after` ns."""
    whole("after", after)

    async def play(given: Value, _take: PartTaker) -> Outcome:
        await virtual_sleep(after)
        return Success(plain(function(given)))

    return Script(play, f"computes({function!r}, after={after})")


def fails(code: str | Code = Code.UNAVAILABLE, detail: str = "", *, after: int = 0) -> Script:
    """End with a gRPC status after `after` ns. ValueError names those that there are."""
    whole("after", after)
    status = FAILURES.get(code if isinstance(code, str) else code.name)
    if status is None:
        known = ", ".join(FAILURES)
        near = get_close_matches(str(code), FAILURES, n=1)
        raise ValueError(f"{code!r} is no failure{f' (did you mean {near[0]!r}?)' if near else ''}; there are {known}")

    async def play(_: Value, _take: PartTaker) -> Outcome:
        await virtual_sleep(after)
        return Fault.of(status, detail)

    return Script(play, f"fails({status.name!r}, after={after})")


def rubbish(*, after: int = 0) -> Script:
    """Answer something that cannot be read."""
    whole("after", after)

    async def play(_: Value, _take: PartTaker) -> Outcome:
        await virtual_sleep(after)
        return Fault(FaultKind.INVALID_RESPONSE, Code.INTERNAL, "the answer is not a ProcessResponse")

    return Script(play, f"rubbish(after={after})")


def hangs() -> Script:
    """Never answer."""

    async def play(_: Value, _take: PartTaker) -> Outcome:
        await asyncio.get_running_loop().create_future()
        raise AssertionError("a future that nobody holds was set")

    return Script(play, "hangs()")


def streams(
    parts: Sequence[Any], *, every: int = 0, replace: bool = False, then: Script | None = None, confidence: float | None = None
) -> Script:
    """Answer in parts, one each `every` ns, then end well, or as `then` does (a failure breaks the stream)."""
    whole("every", every)

    async def play(given: Value, take: PartTaker) -> Outcome:
        for seq, part in enumerate(parts):
            await virtual_sleep(every)
            if (fault := await take(Part(plain(part), replace, seq, confidence))) is not None:
                return fault
        if then is None:
            return Success(None, confidence, streamed=bool(parts))
        outcome = await then.play(given, take)
        if isinstance(outcome, Fault) and parts:
            detail = f"broke after {len(parts)} parts: {outcome}"
            return Fault(FaultKind.STREAM_BROKEN, outcome.code, detail, retryable=outcome.retryable)
        return outcome

    return Script(play, f"streams({list(parts)!r}, every={every}, replace={replace}, then={then!r})")

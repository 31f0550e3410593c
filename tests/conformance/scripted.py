"""What a case's worker does, three times: as a log's entries, as a script of the Lab, and as a real worker.

{after: 1, ends: VALUE}              answers      {after: 1, fails: CODE}      fails
{after: 1, ends: VALUE, sure: 0.5}   answers and reports its confidence
{after: 1, echoes: true}             answers what it was sent
{…, writes: true}                    the same by a worker whose calls change something
{each: {ITEM: {…}, …}}               does what is said of the item that it was sent, as a text; of others what `else` says
{after: 1, rubbish: true}            cannot be read   {after: 1, oversize: true}   is over the limit
{hangs: true}  {dead: true}          never answers; nobody listens
{every: 1, parts: [VALUE, …], replace: true, then: {fails: CODE} | {hangs: true} | {oversize: true}}
{every: 1, parts: [VALUE, …], sure: [0.5, null, …]}   reports its confidence with these parts; the last one stays
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from fanmesh.model.fault import Code, Fault, FaultKind
from fanmesh.model.outcome import Outcome, Part, Success
from fanmesh.model.states import BranchReason, BranchState
from fanmesh.model.times import seconds
from fanmesh.model.values import Value
from fanmesh.testing import Script
from fanmesh.testing.scripts import PartTaker, virtual_sleep
from fanmesh.transport.port import Routes, ServerCall
from fanmesh.v1 import worker_pb2
from fanmesh.workers import Context, Replace, Worker, worker

R, S = BranchReason, BranchState

Doing = dict[str, Any]

TOO_MUCH = "x" * 20_000


def of_item(doing: Doing, sent: Any) -> Doing:
    """What is said of a call that was sent this."""
    if "each" not in doing:
        return doing
    found: Doing = doing["each"].get(str(sent)) or doing["else"]
    return found


class Plain(NamedTuple):
    """How a script ends by itself: when (ns after the send; None = never), and as what. `parts`: (at, value)."""

    at: int | None
    state: BranchState
    reason: BranchReason
    value: Value = None
    parts: tuple[tuple[int, Value], ...] = ()
    sure: float | None = None


def plain_ending(doing: Doing, tick: int, sent: Value = None) -> Plain:
    """The script as entries of a log; `sent`: the branch's input, or its item's."""
    doing = of_item(doing, sent)
    if "parts" in doing:
        every = doing["every"] * tick
        parts = tuple((every * (i + 1), part) for i, part in enumerate(doing["parts"]))
        at, then = every * len(parts), doing.get("then", {"ends": None})
        end = plain_ending({"after": 0, **then}, tick)
        broken = end.state is S.FAILED and end.reason is R.WORKER_ERROR and parts
        reason, sure = R.STREAM_BROKEN if broken else end.reason, sure_by(doing, len(parts))
        return end._replace(at=None if end.at is None else at, parts=parts, reason=reason, sure=sure)
    at = doing.get("after", 0) * tick
    match doing:
        case {"ends": value}:
            return Plain(at, S.SUCCEEDED, R.NONE, value, sure=doing.get("sure"))
        case {"echoes": True}:
            return Plain(at, S.SUCCEEDED, R.NONE, sent, sure=doing.get("sure"))
        case {"hangs": True}:
            return Plain(None, S.SUCCEEDED, R.NONE)
        case {"rubbish": True}:
            return Plain(at, S.FAILED, R.INVALID_RESPONSE)
        case {"oversize": True}:
            return Plain(at, S.FAILED, R.TOO_LARGE)
        case {"fails": _} | {"dead": True}:
            return Plain(at, S.FAILED, R.WORKER_ERROR)
    raise AssertionError(f"no worker does {doing}")


def sure_by(doing: Doing, parts: int) -> float | None:
    """The confidence that a stream has reported with its first `parts` parts; None = it has not."""
    return next((said for said in reversed(doing.get("sure", ())[:parts]) if said is not None), None)


def lab_script(doing: Doing, tick: int) -> Script:
    """The script for the Lab."""

    async def last(doing: Doing, sent: int, given: Value) -> Outcome:
        match doing:
            case {"ends": value}:
                return Success(value, doing.get("sure"))
            case {"echoes": True}:
                return Success(given, doing.get("sure"))
            case {"hangs": True}:
                await asyncio.get_running_loop().create_future()
            case {"rubbish": True}:
                return Fault(FaultKind.INVALID_RESPONSE, Code.INTERNAL, "the answer is not a ProcessResponse")
            case {"oversize": True}:
                return Fault(FaultKind.TOO_LARGE, Code.RESOURCE_EXHAUSTED, "over the limit")
            case {"fails": code}:
                return Fault(FaultKind.STREAM_BROKEN if sent else FaultKind.WORKER_ERROR, Code[code], "as told")
            case {"dead": True}:
                return Fault.unavailable("connection refused")
        raise AssertionError(f"no worker does {doing}")

    async def play(given: Value, take: PartTaker) -> Outcome:
        parts = doing.get("parts", ())
        for seq, part in enumerate(parts):
            await virtual_sleep(doing["every"] * tick)
            if (fault := await take(Part(part, doing.get("replace", False), seq, sure_by(doing, seq + 1)))) is not None:
                return fault
        if "parts" in doing:
            outcome = await last(doing.get("then", {"ends": None}), len(parts), given)
            if not isinstance(outcome, Success):
                return outcome
            return outcome._replace(streamed=bool(parts), confidence=sure_by(doing, len(parts)))
        await virtual_sleep(doing.get("after", 0) * tick)
        return await last(doing, 0, given)

    return Script(play, json.dumps(doing))


def real_workers(tick: int) -> tuple[Worker[Any], ...]:
    """Workers that read what to do from the attribute `script`, by branch, and by attempt where a fallback is asked."""

    async def finish(doing: Doing) -> Any:
        match doing:
            case {"ends": value}:
                return value
            case {"hangs": True}:
                await asyncio.get_running_loop().create_future()
            case {"oversize": True}:
                return TOO_MUCH
            case {"fails": code}:
                raise Fault.of(Code[code], "as told")
        raise AssertionError(f"no worker does {doing}")

    async def answer(given: Any, ctx: Context) -> Any:
        doing = told(ctx.attributes["script"], ctx.branch, ctx.attempt, given)
        await pause(doing.get("after", 0), tick)
        ctx.report(confidence=doing.get("sure"))
        return given if "echoes" in doing else await finish(doing)

    @worker("once")
    async def once(given: Any, ctx: Context) -> Any:
        return await answer(given, ctx)

    @worker("writes")
    async def writes(given: Any, ctx: Context) -> Any:
        return await answer(given, ctx)

    @worker("parts")
    async def parts(given: Any, ctx: Context) -> AsyncIterator[Any]:
        doing = told(ctx.attributes["script"], ctx.branch, ctx.attempt, given)
        for seq, part in enumerate(doing["parts"]):
            await pause(doing["every"], tick)
            ctx.report(confidence=sure_by(doing, seq + 1))
            yield Replace(part) if doing.get("replace", False) else part
        if "then" in doing:
            yield await finish(doing["then"])

    return once, parts, writes


def rubbish(tick: int) -> Routes:
    """A worker that answers with bytes that are no message."""

    async def process(raw: bytes, _call: ServerCall) -> bytes:
        request = worker_pb2.ProcessRequest.FromString(raw)
        await pause(told(request.attributes["script"], request.branch, request.attempt)["after"], tick)
        return b"\xff\xff\xff\xff"

    return Routes(unary={"/fanmesh.v1.WorkerService/Process": process})


def told(script: str, branch: str, attempt: int, given: Any = None) -> Doing:
    """What this branch's worker is to do when it is sent this, or the fallback that makes this attempt."""
    return of_item(of_attempt(json.loads(script), branch, attempt), given)


def of_attempt(scripts: dict[str, Doing], branch: str, attempt: int) -> Doing:
    """Without retries the number of an attempt says whose it is."""
    return scripts.get(f"{branch}#{attempt}") or scripts[branch]


async def pause(ticks: float, tick: int) -> None:
    """Real time passes: a scripted worker is slow, no test sleeps."""
    await asyncio.sleep(seconds(round(ticks * tick)))

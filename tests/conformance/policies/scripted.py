"""What one call at an endpoint does, as outcomes for the simulation and the Lab, and as a real server.

{after: 1t, ends: VALUE}                         answers
{after: 1t, fails: CODE, pushback: 4t | -1 | xx}   fails; with the trailer `grpc-retry-pushback-ms`, if so
{after: 1t, rubbish: true}  {after: 1t, oversize: true}    cannot be read; is over the limit
{hangs: true}                                    never answers
{every: 1t, parts: [VALUE, …], replace: true, then: {…}}    a stream, and how it goes on after its last part
{dead: true}                                     nobody listens, and the channel knows
{gone: true}                                     nobody listens, and the next call finds out
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from fanmesh.model.fault import Code, Fault, FaultKind, Origin
from fanmesh.model.outcome import Outcome, Part, Success
from fanmesh.model.states import PartMode
from fanmesh.model.times import MS, seconds
from fanmesh.model.values import Value
from fanmesh.payload import encode
from fanmesh.testing import Script
from fanmesh.testing.scripts import PartTaker, virtual_sleep
from fanmesh.transport import status
from fanmesh.transport.port import Routes, ServerCall, StatusError
from fanmesh.v1 import worker_pb2
from fanmesh.v1.payload_pb2 import Payload
from tests.conformance.casebook import ns
from tests.conformance.policies.casebook import Doing, PolicyCase
from tests.conformance.scripted import TOO_MUCH

NEVER_SENT = Fault(FaultKind.WORKER_ERROR, Code.UNAVAILABLE, "refused", origin=Origin.TRANSPORT, sent=False, retryable=True)
TIMED_OUT = Fault(FaultKind.LOCAL_TIMEOUT, Code.DEADLINE_EXCEEDED, "no answer in time", origin=Origin.LOCAL, retryable=True)

OPENING = b"\xff\xff\xff\xff"
"""No message begins so."""


class Told(NamedTuple):
    """A call as a timeline, in ns after the send. `last` None: it never ends by itself."""

    parts: tuple[tuple[int, Part], ...]
    at: int
    last: Outcome | None


def told(doing: Doing, tick: int) -> Told:
    """The timeline of a call."""
    if "parts" not in doing:
        return Told((), ns(doing.get("after", "0t"), tick) or 0, _last(doing, 0, tick))
    every = ns(doing["every"], tick) or 0
    parts = tuple(
        (every * (seq + 1), Part(value, doing.get("replace", False), seq)) for seq, value in enumerate(doing["parts"])
    )
    then = doing.get("then", {"ends": None})
    return Told(parts, every * len(parts) + (ns(then.get("after", "0t"), tick) or 0), _last(then, len(parts), tick))


def _last(doing: Doing, parts: int, tick: int) -> Outcome | None:
    match doing:
        case {"ends": value}:
            return Success(None, streamed=True) if parts else Success(value)
        case {"hangs": True}:
            return None
        case {"rubbish": True}:
            return Fault(FaultKind.INVALID_RESPONSE, Code.INTERNAL, "the answer is not a ProcessResponse")
        case {"oversize": True}:
            return Fault(FaultKind.TOO_LARGE, Code.RESOURCE_EXHAUSTED, "over the limit")
        case {"fails": code} if parts:
            return Fault(FaultKind.STREAM_BROKEN, Code[code], "as told", retryable=code == "UNAVAILABLE")
        case {"fails": code}:
            fault = Fault.of(Code[code], "as told")
            fault.retry_after = pushback(doing, tick)
            return fault
        case {"dead": True} | {"gone": True}:
            return NEVER_SENT
    raise AssertionError(f"no endpoint does {doing}")


def trailer(doing: Doing, tick: int) -> str | None:
    """The pushback as it goes over the wire: ticks as ms, all else as it stands."""
    wish = doing.get("pushback")
    if isinstance(wish, str) and wish.endswith("t"):
        return str((ns(wish, tick) or 0) // MS)
    return None if wish is None else str(wish)


def pushback(doing: Doing, tick: int) -> int | None:
    """The pushback as a fault has it."""
    wish = trailer(doing, tick)
    return None if wish is None else status.pushback(((status.PUSHBACK, wish),))


def lab_script(doing: Doing, tick: int) -> Script:
    """The call as a script of the Lab."""
    line = told(doing, tick)

    async def play(_: Value, take: PartTaker) -> Outcome:
        passed = 0
        for at, part in line.parts:
            await virtual_sleep(at - passed)
            passed = at
            if (fault := await take(part)) is not None:
                return fault
        if line.last is None:
            await asyncio.get_running_loop().create_future()
        elif line.at > passed:
            await virtual_sleep(line.at - passed)
        assert line.last is not None
        return line.last

    return Script(play, json.dumps(doing))


# ---------------------------------------------------------------- real servers


class Cast:
    """The endpoints of one case on a real network: which call does what, how many came and were cut off, and what they said.

    `quiet`: no call runs. `told`: endpoint, `fanmesh-attempt-kind` and `grpc-previous-rpc-attempts` of each call.
    """

    def __init__(self, case: PolicyCase) -> None:
        self.case = case
        self.calls = [0] * len(case.endpoints)
        self.cancels = [0] * len(case.endpoints)
        self.told: list[tuple[int, str, str]] = []
        self.running = 0
        self.quiet = asyncio.Event()
        self.quiet.set()

    @contextmanager
    def acting(self, endpoint: int, call: ServerCall) -> Iterator[Doing]:
        """One call."""
        self.told.append((endpoint, call.header("fanmesh-attempt-kind"), call.header("grpc-previous-rpc-attempts")))
        doing = self.case.does(endpoint, self.calls[endpoint])
        self.calls[endpoint] += 1
        self.running += 1
        self.quiet.clear()
        try:
            yield doing
        except (asyncio.CancelledError, GeneratorExit):
            self.cancels[endpoint] += 1
            raise
        finally:
            self.running -= 1
            if not self.running:
                self.quiet.set()


def server_of(endpoint: int, cast: dict[str, Cast], tick: int) -> Routes:
    """What endpoint number `endpoint` of every case answers. Whose call it is stands in the metadata."""

    async def process(_: bytes, call: ServerCall) -> bytes:
        with cast[call.header("fanmesh-worker")].acting(endpoint, call) as doing:
            await _pass(ns(doing.get("after", "0t"), tick) or 0)
            return await _finish(doing, tick)

    async def process_stream(_: bytes, call: ServerCall) -> AsyncIterator[bytes]:
        with cast[call.header("fanmesh-worker")].acting(endpoint, call) as doing:
            mode = PartMode.REPLACE if doing.get("replace", False) else PartMode.APPEND
            for value in doing.get("parts", ()):
                await _pass(ns(doing["every"], tick) or 0)
                part = worker_pb2.ProcessStreamResponse(part=_payload(value))
                part.mode = int(mode)  # type: ignore[assignment]  # a number at run time
                yield part.SerializeToString()
            then = doing.get("then", {"ends": None}) if "parts" in doing else doing
            await _pass(ns(then.get("after", "0t"), tick) or 0)
            if "ends" not in then:
                yield await _finish(then, tick)

    return Routes(
        unary={"/fanmesh.v1.WorkerService/Process": process}, stream={"/fanmesh.v1.WorkerService/ProcessStream": process_stream}
    )


async def _finish(doing: Doing, tick: int) -> bytes:
    match doing:
        case {"ends": value}:
            return worker_pb2.ProcessResponse(output=_payload(value)).SerializeToString()
        case {"oversize": True}:
            return worker_pb2.ProcessResponse(output=_payload(TOO_MUCH)).SerializeToString()
        case {"rubbish": True}:
            return OPENING
        case {"hangs": True}:
            await asyncio.get_running_loop().create_future()
        case {"fails": code}:
            wish = trailer(doing, tick)
            raise StatusError(Code[code], "as told", trailers=() if wish is None else ((status.PUSHBACK, wish),))
    raise AssertionError(f"no endpoint does {doing}")


def _payload(value: Any) -> Payload:
    return Payload(json=encode(value).decode())


async def _pass(time: int) -> None:
    """Real time passes: a scripted endpoint is slow, no test sleeps."""
    if time:
        await asyncio.sleep(seconds(time))

"""`fanmesh call`: one request, drawn from its report alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from fanmesh.cli.calling import HINTS, SERVER, Attributes, Data, Question, ask, question, refused
from fanmesh.cli.ends import Exit, Output, Stop
from fanmesh.cli.repeating import repeat as call_often
from fanmesh.cli.say import document, result, width
from fanmesh.cli.told import draw, report_json, update_json, update_line
from fanmesh.client import Client
from fanmesh.model.states import EmitMode
from fanmesh.result import DispatchFailed, Final, Result
from fanmesh.runtime.clock import now_ns

EMITS = {"snapshot": EmitMode.SNAPSHOT, "branches": EmitMode.BRANCH_EVENTS}


def call(
    plan: Annotated[str, Parameter(name="PLAN")] = "",
    /,
    *,
    data: Data = "{}",
    server: str = SERVER,
    timeout: str | None = None,
    attr: Attributes = (),
    stream: Literal["snapshot", "branches"] | None = None,
    repeat: int = 1,
    traceparent: str | None = None,
    output: Output = "text",
) -> int:
    """Send it, and draw what happened.

    Args:
        plan: The plan; without it the routes choose.
        data: The input: JSON, @file, or - for stdin.
        server: Where the dispatcher listens.
        timeout: The deadline of the call, such as 300ms or 1.5s; the plan's own limit if not given.
        attr: An attribute, name=value; may be repeated.
        stream: Show the result as it grows (snapshot), or every branch as it ends.
        repeat: Send it so many times, one after the other, and print quantiles.
        traceparent: A W3C header to send; `new`, or alone: a fresh one that asks to be recorded.
        output: Text, or one JSON document.
    """
    if repeat < 1 or (repeat > 1 and stream):
        raise Stop("--repeat: 1 or more, and not with --stream", "leave one of them out", Exit.USAGE)
    asked = question(plan, data, attr, timeout, traceparent)
    with Client(server) as client:
        if repeat > 1:
            return call_often(client, asked, repeat, server, output)
        events: list[Any] = []
        try:
            done = _stream(client, asked, EMITS[stream], events, output) if stream else ask(client, asked)
        except DispatchFailed as failed:
            return say_failure(failed, server, output, events)
    if output == "json":
        told = {"ok": True, "result": done.value, "report": report_json(done.report)}
        document({**told, **({"events": events} if stream else {})})
    else:
        draw(done.report)
        print(result(done.value, width()))
    return Exit.OK if done.complete else Exit.PARTIAL


def say_failure(failed: DispatchFailed, server: str, output: str, events: Sequence[Any] = ()) -> int:
    """What a failed call left: its report if it ran, else only the error. The exit code."""
    if failed.report is None:
        raise refused(failed, server)
    status = f"{failed.code.name} {failed.reason}".strip()
    if output == "json":
        more = {"reason": failed.reason, "message": failed.message, "details": dict(failed.details), "exit": int(Exit.FAILED)}
        told = {"ok": False, "error": {"code": failed.code.name, **more}, "report": report_json(failed.report)}
        document({**told, **({"events": list(events)} if events else {})})
        return Exit.FAILED
    draw(failed.report, status)
    if failed.summary:
        print("  (the worst branches only: a failed stream that broke off has no more)")
    raise Stop(failed.message or status, HINTS.get(failed.reason, ""))


def _stream(client: Client, asked: Question, emit: EmitMode, events: list[Any], output: str) -> Result[Any]:
    sent = now_ns()
    for update in client.stream(asked.plan, asked.data, emit=emit, **asked.options()):
        match update:
            case Final(done):
                return done
            case seen if output == "json":
                events.append(update_json(seen, now_ns() - sent))
            case seen:
                print(update_line(seen, now_ns() - sent, width()), flush=True)
    raise AssertionError("a stream ends with Final or DispatchFailed")

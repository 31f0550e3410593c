"""`fanmesh worker MODULE:FUNCTION …`: Python functions as one gRPC worker process."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Annotated, Any

from cyclopts import Parameter

from fanmesh.cli.arguments import address, span, taken
from fanmesh.cli.behaving import behaviour as read_behaviour
from fanmesh.cli.ends import Exit, Output, Stop
from fanmesh.cli.importing import warm_up, workers
from fanmesh.cli.say import document
from fanmesh.cli.tying import Tied, tie
from fanmesh.runtime import logs, telemetry
from fanmesh.runtime.tracing import OFF, Attribute, Recorder, ServerSpan
from fanmesh.transport.choosing import UnknownTransport
from fanmesh.workers import Context, Worker, run
from fanmesh.workers.service import Observe


def worker(
    *functions: Annotated[str, Parameter(name="MODULE:FUNCTION")],
    listen: str = "127.0.0.1:0",
    behaviour: Sequence[str] = (),
    seed: int = 0,
    warm: bool = True,
    drain: str = "20s",
    transport: str = "",
    tied: Tied = False,
    output: Output = "text",
) -> int:
    """Serve functions that are marked with `@worker`.

    Args:
        functions: What to serve; NAME=MODULE:FUNCTION serves it under another name.
        listen: host:port; port 0 is any free one.
        behaviour: How to misbehave, for demos and tests: "geo:delay=20ms;hang@5%".
        seed: The same seed gives the same calls the same fate.
        warm: Run the modules' `warm()` first.
        drain: How long running calls may go on after SIGTERM.
        transport: grpcio or fast; grpcio, or as FANMESH_TRANSPORT says, if not given.
        tied: End when stdin does.
        output: Text, or one JSON document.
    """
    logs.configure()
    listen = address(listen, "--listen")
    found = workers(functions)
    names = [each.name for each in found]
    act = read_behaviour(behaviour, names, seed)
    grace = span(drain, "--drain")
    if tied:
        tie()
    if warm:
        warm_up(found)
    recorder = telemetry.start("fanmesh-worker")
    try:
        run(
            *found,
            listen=listen,
            behaviour=act,
            observe=_observer(recorder) if recorder is not OFF else None,
            ready=lambda port: _ready(listen, port, found, output),
            drain=grace,
            transport=transport,
        )
    except OSError as error:
        raise taken(listen, error) from error
    except UnknownTransport as error:
        raise Stop(str(error), "choose another --transport, or FANMESH_TRANSPORT", Exit.USAGE) from error
    except ValueError as error:
        raise Stop(str(error), "serve each under a name of its own: NAME=MODULE:FUNCTION", Exit.USAGE) from error
    finally:
        recorder.close()
    return Exit.OK


def _ready(listen: str, port: int, found: Sequence[Worker[Any]], output: str) -> None:
    host = listen.rpartition(":")[0]
    address = listen if host == "unix" else f"{host}:{port}"
    if output == "json":
        document({"listen": address, "workers": [each.name for each in found], "pid": os.getpid()})
    else:
        print(f"{', '.join(each.name for each in found)} on {address}", flush=True)


def _attributes(ctx: Context) -> dict[str, Attribute]:
    out: dict[str, Attribute] = {"fanmesh.plan": ctx.plan, "fanmesh.branch": ctx.branch, "fanmesh.request_id": ctx.request_id}
    if (left := ctx.remaining()) is not None:
        out["fanmesh.remaining_ms"] = round(left * 1000)  # what the caller's deadline has become on its way here
    return out


def _observer(recorder: Recorder) -> Observe:
    def observe(method: str, ctx: Context) -> AbstractContextManager[object]:
        span = ServerSpan(
            recorder,
            method,
            ctx.metadata.get("traceparent", ""),
            ctx.metadata.get("tracestate", ""),
            _attributes(ctx),
        )
        span.make_current()
        return span

    return observe

"""`fanmesh dev`: a whole project on this machine, in one terminal.

The dispatcher runs in this process and the workers in their own: workers are what crashes, blocks and is edited, and a
dispatcher that shares a process with one would show its faults as its own.

On asyncio's own event loop, not uvloop: a worker is started again while the dispatcher runs, and uvloop starts processes with
fork, which calls gRPC's fork handlers while its threads are busy; that breaks connections and at times the process. The
standard library uses vfork, which calls none.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from fanmesh.cli.ends import Exit, Output
from fanmesh.cli.loading import load_or_stop
from fanmesh.cli.project import Project
from fanmesh.cli.say import document, table
from fanmesh.model.times import SECOND
from fanmesh.runtime import logs
from fanmesh.runtime.clock import now_ns


def dev(
    config: Annotated[Path, Parameter(name="CONFIG")] = Path("fanmesh.yaml"),
    /,
    *,
    behaviour: Sequence[str] = (),
    seed: int = 0,
    watch: bool = True,
    output: Output = "text",
) -> int:
    """Run it until Ctrl-C.

    Args:
        config: The configuration; its section `dev:` names the workers to start.
        behaviour: How a worker misbehaves: "geo:hang", "geo:delay=20ms;fail=UNAVAILABLE@10%"; may be repeated.
        seed: The same seed gives the same calls the same fate.
        watch: Restart and reload when files change.
        output: Text, or one JSON document once everything runs.
    """
    logs.configure()
    loaded = load_or_stop(config)
    with asyncio.Runner() as runner:
        return runner.run(_run(Project(loaded, config, behaviour, seed, _say), watch=watch, output=output))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


async def _run(project: Project, *, watch: bool, output: str) -> int:
    began = now_ns()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    stopping = asyncio.ensure_future(stop.wait())
    tasks: list[asyncio.Future[Any]] = [stopping]
    try:
        starting = asyncio.ensure_future(project.start())
        await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            await asyncio.wait([starting])
            return Exit.OK
        starting.result()
        _announce(project, now_ns() - began, output)
        if watch:
            tasks += [asyncio.ensure_future(project.follow_config()), asyncio.ensure_future(project.follow_sources())]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done() and (error := task.exception()) is not None:
                raise error
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await project.stop()
    return Exit.OK


def _announce(project: Project, took: int, output: str) -> None:
    told = project.processes()
    config = project.config
    if output == "json":
        document(
            {
                "dispatcher": {"listen": project.address, "pid": os.getpid(), "metrics_port": project.metrics_port},
                "processes": [process._asdict() for process in told],
                "plans": list(config.catalogue.plans),
                "ready_s": round(took / SECOND, 3),
            }
        )
        return
    head = [f"dispatcher {project.address}"]
    if project.metrics_port:
        head.append(f"metrics http://127.0.0.1:{project.metrics_port}/metrics")
    print(f"fanmesh · {' · '.join(head)} · ready in {took / SECOND:.1f} s\n")
    table(("address", "pid", "runs", ""), [(p.listen, str(p.pid), " ".join(p.runs), p.state) for p in told])
    plan = next(iter(config.catalogue.plans))
    where = "" if project.address == "127.0.0.1:50050" else f" --server {project.address}"
    print(f"\ntry: fanmesh call {plan} -d JSON{where}\nCtrl-C ends everything.", flush=True)

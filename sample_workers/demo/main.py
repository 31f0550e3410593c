"""Start everything, show the claims, say how many held, and leave nothing behind.

On asyncio's own event loop, not uvloop: uvloop starts processes with fork, which calls gRPC's fork handlers while its threads
run, and that breaks connections and at times the process; the standard library uses vfork, which calls none.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Final, Literal

from cyclopts import App, Parameter

from fanmesh.cli.say import document
from fanmesh.cli.tones import Tone
from fanmesh.model.times import SECOND
from fanmesh.result import DispatchFailed
from fanmesh.runtime.clock import now_ns
from fanmesh.transport.port import RpcError
from sample_workers.demo import cast
from sample_workers.demo.processes import NotStarted
from sample_workers.demo.scenes import SCENES
from sample_workers.demo.stage import Stage
from sample_workers.demo.world import World

EACH: Final = 30.0
"""Seconds for one claim."""
ALL: Final = 180.0
"""Seconds for the whole show; each part has its own limit, so this ends only what nobody thought of."""
LAST: Final = 15.0
"""Seconds after that until the process ends itself the hard way; its children then end, as they are tied to it."""

app = App(
    name="sample_workers.demo",
    help="Show what Fanmesh promises, and check it. Exit code 0: every claim held.",
    version_flags=[],
)


@app.default
def main(
    *,
    seed: int = 7,
    only: Annotated[str, Parameter(help="Numbers of claims, such as 2,5; all of them if not given.")] = "",
    output: Annotated[Literal["text", "json"], Parameter(name=["--output", "-o"], help="Text, or one JSON document.")] = "text",
    keep: Annotated[bool, Parameter(help="Leave configuration and logs where they were written, and say where.")] = False,
) -> int:
    """Run it. The same seed gives the misbehaving workers the same delays."""
    numbers = _numbers(only)
    if numbers is None:
        print(f"--only: {only!r} is not a list of claims; there are 1 to {len(SCENES)}", file=sys.stderr)
        return 2
    stage = Stage(silent=output == "json")
    began = now_ns()
    with _watched(), _directory(keep=keep) as directory, asyncio.Runner() as runner:
        try:
            runner.run(_show(stage, directory, seed, numbers))
        except (NotStarted, RpcError, DispatchFailed) as error:
            print(f"cannot begin: {error}", file=sys.stderr)
        except TimeoutError:
            print(f"not done after {ALL:.0f} s", file=sys.stderr)
        except (KeyboardInterrupt, asyncio.CancelledError):
            print("stopped", file=sys.stderr)
            return 130
    return conclude(stage, seed, len(numbers), now_ns() - began, output)


async def _show(stage: Stage, directory: Path, seed: int, numbers: Sequence[int]) -> None:
    task = asyncio.current_task()
    assert task is not None  # noqa: S101  (it is what runs)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    began = now_ns()
    async with asyncio.timeout(ALL):
        stage.line("starting …", Tone.QUIET)
        async with World(directory, seed) as world:
            _announce(world, stage, now_ns() - began)
            for number in numbers:
                await perform(stage, world, number)


def _announce(world: World, stage: Stage, took: int) -> None:
    processes = world.processes
    aggregator = processes["aggregator"].port
    ports = f"dispatchers {processes['dispatcher'].port} {processes['dispatcher_2'].port} · aggregator {aggregator}"
    stage.line(f"fanmesh {version('fanmesh')} · seed {world.seed} · {ports} · ready in {took / SECOND:.1f} s")
    ill = sum(map(len, cast.ILL.values()))
    where = (
        f"in {len(cast.HEALTHY)} processes, {ill} that misbehave in {len(cast.ILL)}, {len(cast.REPLICAS)} replicas of tax_id"
    )
    stage.line(f"{len(cast.BRANCHES)} workers (ip ×2) {where}", Tone.QUIET)
    stage.line(
        f"{len(cast.ENGINES)} search engines, {len(cast.SHARDS)} shards, and a service of somebody else's, a process each",
        Tone.QUIET,
    )


async def perform(stage: Stage, world: World, number: int) -> None:
    """Show one claim. Whatever it raises is a check that failed: the others are still shown."""
    scene = SCENES[number]
    stage.begin(number, scene.title, scene.about)
    try:
        async with asyncio.timeout(EACH):
            await scene.play(world, stage)
    except TimeoutError:
        stage.true("shown in time", False, f"not within {EACH:.0f} s")
    except Exception as error:  # noqa: BLE001  (one claim's trouble, of whatever kind, must not hide the others)
        stage.true("shown without a mishap", False, f"{type(error).__name__}: {error}")


def conclude(stage: Stage, seed: int, wanted: int, took: int, output: str = "text") -> int:
    """Say which claims held. The exit code: 0 if all that were wanted did."""
    held = sum(claim.held for claim in stage.claims)
    well = held == wanted == len(stage.claims)
    if output == "json":
        claims = [claim.as_json() for claim in stage.claims]
        document({"ok": well, "seed": seed, "held": held, "of": wanted, "seconds": round(took / SECOND, 3), "claims": claims})
    else:
        stage.line()
        for claim in stage.claims:
            stage.line(f"{'✓' if claim.held else '✗'} {claim.number} {claim.title}", Tone.GOOD if claim.held else Tone.BAD)
        stage.line(f"{held} of {wanted} claims held · {took / SECOND:.1f} s", Tone.GOOD if well else Tone.BAD)
    return 0 if well else 1


def _numbers(only: str) -> list[int] | None:
    if not only:
        return list(SCENES)
    chosen = [each.strip() for each in only.split(",")]
    return [int(each) for each in chosen] if all(each.isdecimal() and int(each) in SCENES for each in chosen) else None


@contextmanager
def _directory(*, keep: bool) -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="fanmesh-demo-"))
    try:
        yield path
    finally:
        if keep:
            print(f"configuration and logs: {path}", file=sys.stderr)
        else:
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _watched() -> Iterator[None]:
    """End the process for certain, even if its loop is stuck."""
    timer = threading.Timer(ALL + LAST, lambda: os._exit(1))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()

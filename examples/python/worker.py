"""A worker in Python. The SDK does what the ones in Go and Node show by hand: health, reflection, deadlines, cancellation.

    python examples/python/worker.py [HOST:PORT]

A branch that is named in `busy` refuses its first attempt, one in `slow` takes a minute: see examples/README.md.
"""
# ruff: noqa: INP001, T201

import asyncio
import sys
from dataclasses import dataclass, field

from fanmesh import Context, Fault, run, worker


@dataclass
class Greeting:
    """The input. A TypedDict, a pydantic model, a protobuf message or a plain dict would do as well."""

    name: str = "you"
    busy: list[str] = field(default_factory=list)
    slow: list[str] = field(default_factory=list)


@worker("python")
async def greet(q: Greeting, ctx: Context) -> dict[str, object]:
    """A greeting, and how many milliseconds the caller was still willing to wait."""
    if ctx.branch in q.busy and ctx.attempt == 0:
        # An error with pushback: it may be tried again, but not before 20 ms have passed.
        raise Fault.resource_exhausted("busy", retry_after_ms=20)
    left = ctx.remaining()
    if ctx.branch in q.slow:
        print("this will take a minute", flush=True)
        try:
            await asyncio.sleep(60)  # noqa: TID251  (stands for the work)
        except asyncio.CancelledError:
            print("cancelled: nobody waits any more", flush=True)
            raise
    ctx.report(confidence=0.9)
    return {"hello": f"Hello {q.name}, from Python", "left_ms": int((left or 0) * 1000)}


if __name__ == "__main__":
    where = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:50071"
    run(greet, listen=where, ready=lambda port: print(f"serving on port {port}", flush=True))

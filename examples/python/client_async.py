"""Calls a dispatcher with `AsyncClient`: one answer, a stream, and a call that fails. What each line means: examples/README.md.

    python examples/python/client_async.py [HOST:PORT]

Begin with `make serve`, which listens on localhost:50050.
"""
# ruff: noqa: INP001, T201

import asyncio
import json
import sys
from typing import Any

from fanmesh import AsyncClient, DispatchFailed, Final, Result, Snapshot

PLAN = "enrich_contact"
CONTACT = {"phone": "+49 30 23125000", "email": "ada@example.org"}  # no IP address: that branch will have nothing to say
PATIENCE = 10.0  # seconds; travels as the gRPC deadline, and bounds the workers too


async def main(target: str) -> None:
    """The three calls, over one connection."""
    async with AsyncClient(target) as client:
        print("== Dispatch")
        show(await client.dispatch(PLAN, CONTACT, timeout=PATIENCE))

        print("== DispatchStream")
        # A snapshot is the whole result so far. To leave the loop early and cancel the request, wrap it in contextlib.aclosing.
        async for update in client.stream(PLAN, CONTACT, timeout=PATIENCE):
            match update:
                case Snapshot(value, coverage):
                    print("snapshot  ", f"coverage {coverage.ratio:.2f}", json.dumps(value))
                case Final(result):
                    print("final     ", f"coverage {result.coverage:.2f}", json.dumps(result.value))

        print("== A call that fails")
        try:
            # The plan requires the branch `phone`; without its answer there is an error instead of a result.
            await client.dispatch(PLAN, {"phone": "unlisted"}, timeout=PATIENCE)
        except DispatchFailed as failure:
            explain(failure)


def show(result: Result[Any]) -> None:
    """The answer, and what is missing from it."""
    print("result    ", json.dumps(result.value))  # with `returns=SomeDataclass` it would be one
    print("complete  ", str(result.complete).lower())
    print("coverage  ", f"{result.coverage:.2f} by {result.report.completed_by.name}")
    for name in result.missing:
        branch = result.report[name]
        print("missing   ", f"{name}: {branch.state.name} {branch.reason.name}: {branch.detail}")
        for attempt in branch.attempts:
            print("attempt   ", f"{name} {attempt.number}: {attempt.kind.name} code {attempt.code} at {attempt.endpoint}")


def explain(failure: DispatchFailed) -> None:
    """Why there is no answer, for a program (code, reason, details) and for a person (message)."""
    print("status    ", f"{int(failure.code)}: {failure.message}")
    print("reason    ", failure.reason)
    for key, value in sorted(failure.details.items()):
        print("metadata  ", f"{key}={value}")
    # A report of at most 4 KB comes with the error; `full_report=True` asks for the whole one.
    for branch in failure.report.branches if failure.report else ():
        print("summary   ", f"{branch.branch}: {branch.state.name} {branch.reason.name}")
    print("pushback  ", failure.retry_after)  # milliseconds; negative = do not try again


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "localhost:50050"))

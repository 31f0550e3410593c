"""What the report costs per branch: from the nouns to the serialised message, and the part of the reply around it."""

from __future__ import annotations

import asyncio

from bench.kit.best import best
from bench.kit.plans import WIDTHS, Bench
from dispatcher.flow.ports import Reply
from dispatcher.wire.outbound import response_of
from fanmesh.payload import Kind
from fanmesh.reporting import to_report


async def reply_of(branches: int) -> Reply:
    """A reply with a report of that many rows."""
    return await Bench(branches).request()


def figures() -> dict[str, dict[str, float]]:
    """µs per branch, by number of branches."""
    out: dict[str, dict[str, float]] = {"report to bytes": {}, "reply to bytes": {}}
    for branches in WIDTHS:
        reply = asyncio.run(reply_of(branches))
        report = reply.report
        if report is None:
            raise RuntimeError(f"refused: {reply.refusal}")
        out["report to bytes"][str(branches)] = best(lambda report=report: to_report(report).SerializeToString()) / branches  # type: ignore[misc]  # a default argument binds
        out["reply to bytes"][str(branches)] = (
            best(lambda reply=reply: response_of(reply, Kind.JSON, 2**22)[0].SerializeToString()) / branches  # type: ignore[misc]  # likewise
        )
    return out

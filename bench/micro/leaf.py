"""What the leaf does with bytes: the request's head and shared input, the answer's value."""

from __future__ import annotations

import orjson

from bench.kit.best import best
from bench.kit.plans import ANSWER, INPUT, UNSAMPLED, config
from dispatcher.layers.types import Attempt, BranchRun
from dispatcher.model.request import Request
from dispatcher.wire.worker_call import metadata_of, request_bytes
from fanmesh.model.states import AttemptKind
from fanmesh.payload import Box, to_value
from fanmesh.v1 import payload_pb2, worker_pb2


def attempt(text: str) -> Attempt:
    """An attempt that is about to leave."""
    plan = config(5).catalogue.plans["bench"]
    request = Request("0123", "bench", Box(payload_pb2.Payload(json=text)), 0, trace=UNSAMPLED, headers=(("a", "b"),))
    return Attempt(BranchRun(request, plan, plan.nodes[0], 0, 10**9, lambda _run, _now: None), 0, AttemptKind.FIRST, 0)


def figures() -> dict[str, dict[str, float]]:
    """µs for each."""
    small, large = attempt(INPUT), attempt(orjson.dumps({"text": "x" * 100_000}).decode())
    return {
        "request bytes, small input": {"1": best(lambda: request_bytes(small))},
        "request bytes, input of 100 kB": {"1": best(lambda: request_bytes(large))},
        "metadata": {"1": best(lambda: metadata_of(small))},
        "answer to value": {"1": best(lambda: to_value(worker_pb2.ProcessResponse.FromString(ANSWER).output))},
    }

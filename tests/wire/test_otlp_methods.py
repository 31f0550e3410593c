"""The span of a request says which method was called: whoever looks for slow streams must not find unary calls among them."""

from __future__ import annotations

from pathlib import Path

import pytest

from fanmesh.v1 import worker_pb2
from tests.kit.calls import ask
from tests.kit.mesh import PROCESS, PROCESS_STREAM, plan, running
from tests.kit.otlp import Receiver
from tests.kit.roles import says

pytestmark = pytest.mark.asyncio

DISPATCHER, WORKER = "fanmesh.v1.DispatcherService", "fanmesh.v1.WorkerService"
PLAN = (("fanmesh-worker", "p"),)


async def test_each_method_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of both services, unary and streamed, and in the trace of who called."""
    methods = (f"{DISPATCHER}/Dispatch", f"{DISPATCHER}/DispatchStream", f"{WORKER}/Process", f"{WORKER}/ProcessStream")
    with Receiver(tmp_path) as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint)
        async with running({"w": says(1)}, {"p": plan("w")}) as mesh:
            traced = [((*PLAN, ("traceparent", f"00-{number:032x}-{number:016x}-01"))) for number in range(1, 5)]
            await mesh.dispatch(ask(), metadata=traced[0])
            await mesh.stream(ask(), metadata=traced[1])
            work = worker_pb2.ProcessRequest(input=ask().input).SerializeToString()
            await mesh.channel.unary(PROCESS, work, metadata=traced[2])
            parts = mesh.channel.stream(PROCESS_STREAM, work, metadata=traced[3])
            assert [part async for part in parts]
            await parts.aclose()
        requests = [span for span in receiver.spans(at_least=8) if span.name == "dispatch p"]
    assert {int(span.trace_id, 16): span.attributes["rpc.method"] for span in requests} == dict(enumerate(methods, 1))
    assert {span.kind for span in requests} == {"SERVER"}

"""The fan-outs by hand that the bench measures: a comparison of costs is worth something if the work is the same."""

from __future__ import annotations

import json
from contextlib import ExitStack

import grpc
import pytest

from bench.fanout.foreign import built
from bench.fanout.load import INPUT
from bench.fanout.transports import FLOORS
from bench.kit.processes import Process
from fanmesh.v1 import dispatcher_pb2, dispatcher_pb2_grpc, payload_pb2
from tests.kit.examples import Note, present

pytestmark = pytest.mark.slow

WIDTH = 3
BROKEN = '{"name":'


def asked(port: str, text: str) -> dispatcher_pb2.DispatchResponse:
    """What the process behind a port answers."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = dispatcher_pb2_grpc.DispatcherServiceStub(channel)  # type: ignore[no-untyped-call]  # generated
        request = dispatcher_pb2.DispatchRequest(plan="bench", input=payload_pb2.Payload(json=text))
        answer: dispatcher_pb2.DispatchResponse = stub.Dispatch(request, timeout=30, wait_for_ready=True)
        return answer


def test_grpc_aio_the_fast_transport_and_other_languages_answer_alike(record_property: Note) -> None:
    """Every worker is called and stands under its name, nothing else is in the reply, and the input is really read."""
    here = present({language: language for language in ("Go", "Java", "Node")}, record_property)
    others = built()
    assert len(others) == len(here)
    commands = [*((module,) for module in FLOORS.values()), *others.values()]
    with ExitStack() as stack:
        worker = stack.enter_context(Process("bench.fanout.fast_worker"))
        running = [stack.enter_context(Process(*command, worker.said, WIDTH)) for command in commands]
        answers = [asked(one.said, INPUT) for one in running]
        for one in running:
            with pytest.raises(grpc.RpcError):
                asked(one.said, BROKEN)
    merged = [json.loads(answer.result.json) for answer in answers]
    assert merged[0].keys() == {"b0", "b1", "b2"}
    assert all(branch["country"] == "DE" for branch in merged[0].values())
    assert merged == [merged[0]] * len(running)
    for answer in answers:
        assert answer == dispatcher_pb2.DispatchResponse(result=payload_pb2.Payload(json=answer.result.json))

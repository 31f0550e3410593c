"""Calls a dispatcher with plain grpcio: what `fanmesh.Client` does for you.

    python examples/python/client_grpcio.py [HOST:PORT]

Of Fanmesh it uses nothing but the stubs, as any language would. They are in the package; `python -m grpc_tools.protoc` makes
them from protos/.
"""
# ruff: noqa: INP001, T201

import sys

import grpc
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from fanmesh.v1 import aggregator_pb2, dispatcher_pb2, payload_pb2, report_pb2
from fanmesh.v1.dispatcher_pb2_grpc import DispatcherServiceStub

CONTACT = '{"phone": "+49 30 23125000", "email": "ada@example.org"}'  # no IP address: that branch will have nothing to say
PATIENCE = 10.0  # seconds; travels as the gRPC deadline, and bounds the workers too


def main(target: str) -> None:
    """The three calls, over one connection."""
    request = dispatcher_pb2.DispatchRequest(plan="enrich_contact", input=payload_pb2.Payload(json=CONTACT))
    with grpc.insecure_channel(target) as channel:
        stub = DispatcherServiceStub(channel)

        print("== Dispatch")
        reply, call = stub.Dispatch.with_call(request, timeout=PATIENCE)
        print("result    ", reply.result.json)  # JSON because the input was; `reply_kind` may ask for a Struct
        print("complete  ", dict(call.trailing_metadata())["fanmesh-complete"])
        show(reply.report)

        print("== DispatchStream")
        asked = dispatcher_pb2.DispatchStreamRequest(request=request, emit=aggregator_pb2.EMIT_MODE_SNAPSHOT)
        for message in stub.DispatchStream(asked, timeout=PATIENCE):
            match message.WhichOneof("event"):
                case "snapshot":
                    print("snapshot  ", f"coverage {message.coverage.ratio:.2f}", message.snapshot.json)
                case "final":
                    print("final     ", f"coverage {message.final.report.coverage.ratio:.2f}", message.final.result.json)

        print("== A call that fails")
        request.input.json = (
            '{"phone": "unlisted"}'  # the plan requires the branch `phone`: without its answer there is an error
        )
        try:
            stub.Dispatch(request, timeout=PATIENCE)
        except grpc.RpcError as error:
            explain(error)


def show(report: report_pb2.Report) -> None:
    """What is missing, why, and what was tried."""
    print("coverage  ", f"{report.coverage.ratio:.2f} by {report_pb2.CompletedBy.Name(report.completed_by)}")
    for row in report.branches:
        if row.state == report_pb2.BRANCH_STATE_SUCCEEDED or row.reason == report_pb2.BRANCH_REASON_CONDITION:
            continue  # it answered, or the plan did not want it for this input
        print("missing   ", f"{row.branch}: {named(row)}: {row.status.message}")
        for attempt in row.attempts:
            kind = report_pb2.AttemptKind.Name(attempt.kind)
            print("attempt   ", f"{row.branch} {attempt.number}: {kind} code {attempt.code} at {attempt.endpoint}")


def named(row: report_pb2.BranchReport) -> str:
    """How a branch ended."""
    return f"{report_pb2.BranchState.Name(row.state)} {report_pb2.BranchReason.Name(row.reason)}"


def explain(error: grpc.RpcError) -> None:
    """The error as rich as it comes: a google.rpc.Status in the trailers, with details that are messages themselves."""
    print("status    ", f"{error.code().value[0]}: {error.details()}")
    trailers = dict(error.trailing_metadata())
    for detail in Status.FromString(trailers["grpc-status-details-bin"]).details:
        if detail.Is(ErrorInfo.DESCRIPTOR):
            info = ErrorInfo.FromString(detail.value)
            print("reason    ", info.reason)  # of `info.domain`, which is "fanmesh"
            for key, value in sorted(info.metadata.items()):
                print("metadata  ", f"{key}={value}")
        elif detail.Is(report_pb2.ReportSummary.DESCRIPTOR):
            for row in report_pb2.ReportSummary.FromString(detail.value).worst:
                print("summary   ", f"{row.branch}: {named(row)}")
    print("pushback  ", trailers["grpc-retry-pushback-ms"])  # milliseconds; negative = do not try again


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "localhost:50050")

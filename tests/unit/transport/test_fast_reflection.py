"""What the fast transport's reflection says, beside what grpcio's own says of the same."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha import reflection
from grpc_reflection.v1alpha.reflection_pb2 import ExtensionRequest, ServerReflectionRequest, ServerReflectionResponse

from fanmesh.model.fault import Code
from fanmesh.transport.fast.reflection import METHOD, NAMES, routes
from fanmesh.transport.port import StatusError
from fanmesh.v1 import worker_pb2

SERVICES = ("b.B", "fanmesh.v1.WorkerService")
SYMBOL = worker_pb2.DESCRIPTOR.services_by_name["WorkerService"].full_name


class Said:
    """A call that keeps what is written."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []

    async def write(self, message: bytes) -> None:
        """Keep it."""
        self.messages.append(message)


def ask(*raws: bytes, name: str = NAMES[0]) -> list[ServerReflectionResponse]:
    """The answers of the served method."""
    call: Any = Said()

    async def requests() -> AsyncIterator[bytes]:
        for raw in raws:
            yield raw

    async def main() -> None:
        await routes(SERVICES).duplex[f"/{name}/{METHOD}"](requests(), call)

    asyncio.run(main())
    return [ServerReflectionResponse.FromString(message) for message in call.messages]


@pytest.mark.parametrize(
    "request_",
    [
        ServerReflectionRequest(host="h", list_services=""),
        ServerReflectionRequest(file_by_filename="fanmesh/v1/worker.proto"),
        ServerReflectionRequest(file_by_filename="google/protobuf/descriptor.proto"),
        ServerReflectionRequest(file_by_filename="none.proto"),
        ServerReflectionRequest(file_containing_symbol=SYMBOL),
        ServerReflectionRequest(file_containing_symbol=f"{SYMBOL}.Process"),
        ServerReflectionRequest(file_containing_symbol="no.Such"),
        ServerReflectionRequest(
            file_containing_extension=ExtensionRequest(containing_type="google.protobuf.FieldOptions", extension_number=1)
        ),
        ServerReflectionRequest(
            file_containing_extension=ExtensionRequest(containing_type="google.protobuf.FieldOptions", extension_number=1052)
        ),
        ServerReflectionRequest(file_containing_extension=ExtensionRequest(containing_type="no.Such", extension_number=1)),
        ServerReflectionRequest(all_extension_numbers_of_type="google.protobuf.FieldOptions"),
        ServerReflectionRequest(all_extension_numbers_of_type="no.Such"),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", NAMES)
def test_it_says_what_grpcs_own_says(request_: ServerReflectionRequest, name: str) -> None:
    """The same files, services, numbers and errors, under the name of either version."""
    import google.api.field_behavior_pb2  # noqa: F401, PLC0415  (an extension of FieldOptions, numbered 1052)

    [ours] = ask(request_.SerializeToString(), name=name)
    theirs = next(iter(reflection.ReflectionServicer(SERVICES).ServerReflectionInfo([request_], None)))
    assert ours.original_request == request_
    assert ours.valid_host == request_.host
    assert ours.WhichOneof("message_response") == theirs.WhichOneof("message_response")
    assert files(ours) == files(theirs)
    assert ours.list_services_response == theirs.list_services_response
    assert ours.all_extension_numbers_response == theirs.all_extension_numbers_response
    assert ours.error_response.error_code == theirs.error_response.error_code


def files(response: ServerReflectionResponse) -> dict[str, FileDescriptorProto]:
    """The files in an answer, by name."""
    protos = map(FileDescriptorProto.FromString, response.file_descriptor_response.file_descriptor_proto)
    return {proto.name: proto for proto in protos}


def test_what_asks_nothing_is_told_so_and_what_is_no_request_ends_the_call() -> None:
    """The next question of the same call is answered."""
    nothing, listed = ask(b"", ServerReflectionRequest(list_services="").SerializeToString())
    assert nothing.error_response.error_code == Code.INVALID_ARGUMENT
    assert [service.name for service in listed.list_services_response.service] == list(SERVICES)
    with pytest.raises(StatusError) as e:
        ask(b"\xff\xff")
    assert e.value.code is Code.INVALID_ARGUMENT

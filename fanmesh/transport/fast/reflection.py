"""gRPC server reflection, served over the port, in both of its versions: their messages have the same bytes.

Our own few lines over the descriptor pool, because grpcio-reflection answers only v1alpha and only to grpc's own servers.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.message import DecodeError
from grpc_reflection.v1alpha import reflection_pb2 as wire

from fanmesh.model.fault import Code
from fanmesh.transport.port import DuplexHandler, Routes, ServerCall, StatusError

NAMES: Final = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")
METHOD: Final = "ServerReflectionInfo"


def routes(services: Sequence[str]) -> Routes:
    """The methods. `services` is what is listed."""
    return Routes(duplex={f"/{name}/{METHOD}": _handler(tuple(sorted(services))) for name in NAMES})


def _handler(services: tuple[str, ...]) -> DuplexHandler:
    async def reflect(requests: AsyncIterator[bytes], call: ServerCall) -> None:
        async for raw in requests:
            try:
                request = wire.ServerReflectionRequest.FromString(raw)
            except DecodeError:
                raise StatusError(Code.INVALID_ARGUMENT, "no ServerReflectionRequest") from None
            await call.write(_answer(request, services).SerializeToString())

    return reflect


def _answer(request: Any, services: tuple[str, ...]) -> Any:
    """The response to one request."""
    pool = descriptor_pool.Default()
    response = wire.ServerReflectionResponse(valid_host=request.host, original_request=request)
    match request.WhichOneof("message_request"):
        case "list_services":
            response.list_services_response.service.extend(wire.ServiceResponse(name=name) for name in services)
        case "file_by_filename":
            _files(response, lambda: pool.FindFileByName(request.file_by_filename))
        case "file_containing_symbol":
            _files(response, lambda: pool.FindFileContainingSymbol(request.file_containing_symbol))
        case "file_containing_extension":
            wanted = request.file_containing_extension

            def declaring() -> Any:
                extended = pool.FindMessageTypeByName(wanted.containing_type)
                extension: Any = pool.FindExtensionByNumber(extended, wanted.extension_number)
                return extension.file

            _files(response, declaring)
        case "all_extension_numbers_of_type":
            _extensions(response, pool, request.all_extension_numbers_of_type)
        case _:
            _error(response, Code.INVALID_ARGUMENT, "nothing was asked")
    return response


def _files(response: Any, find: Callable[[], Any]) -> None:
    """The file, and all that it imports."""
    try:
        found = find()
    except KeyError:
        _error(response, Code.NOT_FOUND, "not found")
        return
    files: dict[str, Any] = {}
    _gather(found, files)
    for file in files.values():
        proto = descriptor_pb2.FileDescriptorProto()
        file.CopyToProto(proto)
        response.file_descriptor_response.file_descriptor_proto.append(proto.SerializeToString())


def _gather(file: Any, into: dict[str, Any]) -> None:
    if file.name not in into:
        into[file.name] = file
        for imported in file.dependencies:
            _gather(imported, into)


def _extensions(response: Any, pool: Any, name: str) -> None:
    try:
        extended = pool.FindMessageTypeByName(name)
    except KeyError:
        _error(response, Code.NOT_FOUND, "not found")
        return
    answer = response.all_extension_numbers_response
    answer.base_type_name = extended.full_name
    answer.extension_number.extend(sorted(extension.number for extension in pool.FindAllExtensions(extended)))


def _error(response: Any, code: Code, message: str) -> None:
    response.error_response.error_code = int(code)
    response.error_response.error_message = message

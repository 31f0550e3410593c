"""Which gRPC status stands for what HTTP says in its place. Pure tables, from gRPC's own documents.

"gRPC over HTTP2", section "HTTP2 Transport Mapping / Errors", and "HTTP to gRPC Status Code Mapping" for answers that some
proxy gave instead of a gRPC server.
"""

from __future__ import annotations

from typing import Final

from fanmesh.model.fault import Code

NO_ERROR: Final = 0x0
PROTOCOL_ERROR: Final = 0x1
INTERNAL_ERROR: Final = 0x2
REFUSED_STREAM: Final = 0x7
CANCEL: Final = 0x8
ENHANCE_YOUR_CALM: Final = 0xB
INADEQUATE_SECURITY: Final = 0xC

_NAMES: Final = (
    *("NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED"),
    *("FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM"),
    *("INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED"),
)

_RESETS: Final = {
    REFUSED_STREAM: Code.UNAVAILABLE,
    CANCEL: Code.CANCELLED,
    ENHANCE_YOUR_CALM: Code.RESOURCE_EXHAUSTED,
    INADEQUATE_SECURITY: Code.PERMISSION_DENIED,
    0x5: Code.UNKNOWN,  # STREAM_CLOSED: the document has no mapping, as there is no open stream for it
    0xD: Code.UNKNOWN,  # HTTP_1_1_REQUIRED
}

_HTTP: Final = {
    b"400": Code.INTERNAL,
    b"401": Code.UNAUTHENTICATED,
    b"403": Code.PERMISSION_DENIED,
    b"404": Code.UNIMPLEMENTED,
    b"429": Code.UNAVAILABLE,
    b"502": Code.UNAVAILABLE,
    b"503": Code.UNAVAILABLE,
    b"504": Code.UNAVAILABLE,
}


def of_reset(error_code: int, *, late: bool) -> Code:
    """The status of a call whose stream ended with RST_STREAM. `late`: the call's deadline has passed."""
    if late and error_code == CANCEL:
        return Code.DEADLINE_EXCEEDED  # "the peer's timer fired before ours"
    if error_code >= len(_NAMES):
        return Code.UNKNOWN
    return _RESETS.get(error_code, Code.INTERNAL)


def of_http(status: bytes) -> Code:
    """The status of a call that was answered with this HTTP status and no grpc-status."""
    return _HTTP.get(status, Code.UNKNOWN)


def of_field(value: bytes) -> Code:
    """The status in a grpc-status field; UNKNOWN for a number that gRPC does not know, or none."""
    try:
        return Code(int(value)) if value.isdigit() else Code.UNKNOWN
    except ValueError:
        return Code.UNKNOWN


def name(error_code: int) -> str:
    """What HTTP/2 calls it."""
    return _NAMES[error_code] if error_code < len(_NAMES) else f"error {error_code}"

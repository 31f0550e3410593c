"""The second implementation of the transport port: gRPC in Python over libnghttp2 (the package ngh2), without grpc's core.

It costs about a tenth of grpc.aio per call. What it does and does not do: docs/transport.md. Imported only by those who choose
it, since it needs the extra `fanmesh[fast]`.
"""

from __future__ import annotations

try:
    import ngh2  # noqa: F401  (asked for here, so that whoever lacks it is told what to install)
except ImportError as e:
    raise ImportError("transport: fast needs the package ngh2: pip install 'fanmesh[fast]'") from e

from fanmesh.transport.fast.transport import FastTransport

__all__ = ["FastTransport"]

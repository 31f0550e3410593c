"""What an aggregator process can be told. It has no configuration file: everything about a request comes with the request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aggregator.stream import DEFAULTS, Limits

LISTEN: Final = "127.0.0.1:50060"


@dataclass(frozen=True, slots=True)
class Settings:
    """`listen`: `host:port` (port 0 = a free one) or `unix:path`. `drain`: seconds for running streams when it is to end.

    `functions`: what `custom` merges may call here, as `module:function`. Only these: a log must not choose what is imported.
    `transport`: grpcio or fast; empty = grpcio, or as FANMESH_TRANSPORT says.
    """

    listen: str = LISTEN
    drain: float = 20.0
    reuse_port: bool = False
    limits: Limits = DEFAULTS
    functions: tuple[str, ...] = ()
    transport: str = ""

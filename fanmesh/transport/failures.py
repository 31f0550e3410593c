"""What grpc says about a failed call → RpcError, and the two questions that grpc leaves open.

*Was it sent?* grpc has no flag for it. A call that found no connection ends UNAVAILABLE with a text of the core's own; a worker
that relays such a text from a worker of its own looks the same, also in the core's debug text (seen from 1.78 to 1.85). What
tells them apart is the channel, which is in TRANSIENT_FAILURE if it could not connect, and what the text names: our address, or
at least its port where grpc resolves a name itself. Where in doubt, it was sent: the other error repeats writes. So a stream
that the server refused (REFUSED_STREAM, GOAWAY) was sent, although HTTP/2 says that nobody looked at it.

*Whose deadline was it?* The status is the same if the peer answers DEADLINE_EXCEEDED and if our timer fires. Ours cannot fire
early, except by the millisecond to which grpc rounds.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import Final

import grpc

from fanmesh.model.fault import Code
from fanmesh.model.times import MS
from fanmesh.transport.port import Metadata, RpcError
from fanmesh.transport.sendable import unsendable

TOLERANCE: Final = 2 * MS
"""A DEADLINE_EXCEEDED later than this before the deadline is our own timer's."""

_NO_CONNECTION: Final = "failed to connect to all addresses"
_NO_NAME: Final = ("DNS resolution failed for ", "errors resolving ")  # 1.78; from 1.80 on
_NO_XDS: Final = "Failed to create XdsClient"
"""How the core's texts for a call without a connection begin, over the supported versions (tests/wire/test_never_sent.py)."""


def failure(code: int, message: str, trailers: Metadata, *, address: str, connected: bool, late: bool) -> RpcError:
    """The error of a call to `address`. `connected`: as the function of that name says. `late`: our timeout has passed."""
    try:
        known = Code(code)
    except ValueError:
        known = Code.UNKNOWN
    sent = connected or known is not Code.UNAVAILABLE or not _never_sent(message, address)
    return RpcError(known, message, trailers, sent=sent, local_deadline=late and known is Code.DEADLINE_EXCEEDED)


def no_connection(message: str) -> bool:
    """Whether this reads like the core about a connection that it did not get. A peer can say so, too: only for words."""
    return message.startswith((_NO_CONNECTION, *_NO_NAME, _NO_XDS))


def _never_sent(message: str, address: str) -> bool:
    """Whether the text is the core's own about a connection to `address` that it did not get."""
    if message.startswith(_NO_CONNECTION):
        ours = _named(address)
        return ours is not None and ours.search(message) is not None
    if message.startswith(_NO_NAME):
        name = address.removeprefix("dns:").removeprefix("///")
        return message.startswith(tuple(f"{text}{name}:" for text in _NO_NAME))
    return message.startswith(_NO_XDS) and address.startswith("xds:")


@lru_cache(1024)
def _named(address: str) -> re.Pattern[str] | None:
    """What the core writes in `last error: CODE: …: why` when `address` cannot be reached. None: nobody knows (xds:).

    Of a name only the port is known; grpc resolves it by itself.
    """
    if address.startswith("unix:"):
        return re.compile(f": {re.escape(address)}: ")
    if address.startswith("xds:"):
        return None
    bare = address.removeprefix("dns:").removeprefix("///").removeprefix("ipv4:").removeprefix("ipv6:")
    host, _, port = bare.rpartition(":")
    try:
        ip = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return re.compile(f": ipv[46]:[^ ]+:{re.escape(port)}: ")
    return re.compile(re.escape(f": ipv6:%5B{ip}%5D:{port}: " if ip.version == 6 else f": ipv4:{ip}:{port}: "))


def late(elapsed_ns: int, timeout: float | None) -> bool:
    """Whether a call that took so long has outlived its timeout in seconds."""
    return timeout is not None and elapsed_ns >= timeout * 1_000_000_000 - TOLERANCE


def no_time() -> RpcError:
    """The timeout had passed before the call was made. grpc would take a timeout of 0 for none."""
    return RpcError(Code.DEADLINE_EXCEEDED, "no time left to call", sent=False, local_deadline=True)


def closed(address: str) -> RpcError:
    """The channel was closed before the call."""
    return RpcError(Code.UNAVAILABLE, f"the channel to {address} is closed", sent=False)


def cut_off(address: str) -> RpcError:
    """The channel was closed under the call, which may have had its effect."""
    return RpcError(Code.UNAVAILABLE, f"the channel to {address} was closed under the call")


def unusable(error: Exception, metadata: Metadata = ()) -> RpcError:
    """Refused by grpc before it was sent: `metadata` with characters that do not belong there."""
    return RpcError(Code.INTERNAL, f"grpc refuses the call: {unsendable(metadata) or type(error).__name__}", sent=False)


def connected(state: grpc.ChannelConnectivity) -> bool:
    """Whether a call that has just failed may have had a connection: in any state but TRANSIENT_FAILURE.

    IDLE and CONNECTING are in doubt: a peer that goes away (GOAWAY) still answers what it has taken, while the channel is
    already in one of them.
    """
    return state is not grpc.ChannelConnectivity.TRANSIENT_FAILURE

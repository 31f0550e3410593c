"""What grpc says about a failed call → RpcError, and the two questions that grpc leaves open.

*Was it sent?* grpc has no flag for it. A call that found no connection ends UNAVAILABLE with a text of the core's own; a worker
that relays such a text from a worker of its own looks the same. What tells them apart is the channel, which cannot be connected
if the connection failed, and the address, which the text names. Where in doubt, it was sent: the other error repeats writes.

*Whose deadline was it?* The status is the same if the peer answers DEADLINE_EXCEEDED and if our timer fires. Ours cannot fire
early, except by the millisecond to which grpc rounds.
"""

from __future__ import annotations

import re
from typing import Final

import grpc

from fanmesh.model.fault import Code
from fanmesh.model.times import MS
from fanmesh.transport.port import Metadata, RpcError

TOLERANCE: Final = 2 * MS
"""A DEADLINE_EXCEEDED later than this before the deadline is our own timer's."""

_NO_CONNECTION: Final = (
    "failed to connect to all addresses",
    "DNS resolution failed",
    "errors resolving",
    "empty address list",
)
"""How the core's texts for a call without a connection begin, over the supported versions."""

_IPV4: Final = re.compile(r"(ipv4:)?(\d+(?:\.\d+){3}:\d+)$")


def failure(code: int, message: str, trailers: Metadata, *, address: str, connected: bool, late: bool) -> RpcError:
    """The error of a call to `address`. `connected`: the channel is so now. `late`: our timeout has passed."""
    try:
        known = Code(code)
    except ValueError:
        known = Code.UNKNOWN
    sent = connected or known is not Code.UNAVAILABLE or not _never_sent(message, address)
    return RpcError(known, message, trailers, sent=sent, local_deadline=late and known is Code.DEADLINE_EXCEEDED)


def _never_sent(message: str, address: str) -> bool:
    literal = _IPV4.match(address)
    return message.startswith(_NO_CONNECTION) and (literal is None or literal[2] in message)


def late(elapsed_ns: int, timeout: float | None) -> bool:
    """Whether a call that took so long has outlived its timeout in seconds."""
    return timeout is not None and elapsed_ns >= timeout * 1_000_000_000 - TOLERANCE


def no_time() -> RpcError:
    """The timeout had passed before the call was made. grpc would take a timeout of 0 for none."""
    return RpcError(Code.DEADLINE_EXCEEDED, "no time left to call", sent=False, local_deadline=True)


def closed(address: str) -> RpcError:
    """The channel was closed under the call."""
    return RpcError(Code.UNAVAILABLE, f"the channel to {address} is closed", sent=False)


def unusable(error: Exception) -> RpcError:
    """Refused by grpc before it was sent: metadata with characters that do not belong there."""
    return RpcError(Code.INTERNAL, f"grpc refuses the call: {type(error).__name__}", sent=False)


def connected(state: grpc.ChannelConnectivity) -> bool:
    """Whether a call would find a connection at once."""
    return state is grpc.ChannelConnectivity.READY

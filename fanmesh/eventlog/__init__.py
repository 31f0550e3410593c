"""The event log on the wire: Event ⇄ AggregateRequest, Effect ⇄ AggregateResponse, in bytes and in both directions.

One codec for both ends, in the shared package, because the remote merge is only worth having if it is the embedded one bit for
bit: what one end writes the other must read back exactly, and two codecs would agree only until one of them is changed.
Reading is strict. What this version does not know (a rule, an alarm, items of a `for_each`) is refused with its field's name:
a fold that skipped it would give another result, and nobody would see why.
"""

from fanmesh.eventlog.effects import Ack, decode_answer, encode_ack, encode_effect
from fanmesh.eventlog.events import decode_event, encode_event
from fanmesh.eventlog.fields import LogError, read_conflict, write_conflict

AGGREGATE = "/fanmesh.v1.AggregatorService/Aggregate"

__all__ = [
    "AGGREGATE",
    "Ack",
    "LogError",
    "decode_answer",
    "decode_event",
    "encode_ack",
    "encode_effect",
    "encode_event",
    "read_conflict",
    "write_conflict",
]

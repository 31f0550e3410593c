"""Effect ⇄ AggregateResponse, and the acknowledgement that only the wire needs."""

from __future__ import annotations

from typing import NamedTuple, assert_never

from google.protobuf.message import DecodeError

from fanmesh.eventlog.fields import (
    LogError,
    duration,
    number,
    read_conflict,
    read_coverage,
    read_duration,
    read_enum,
    read_value,
    write_conflict,
    write_coverage,
    write_value,
)
from fanmesh.model.events import Arm, Effect, Result, Update, Verdict
from fanmesh.model.states import AlarmKind, CompletedBy
from fanmesh.v1 import aggregator_pb2


class Ack(NamedTuple):
    """Every event up to and including `seq` has been folded."""

    seq: int


def encode_ack(seq: int) -> bytes:
    """The bytes of an AggregateResponse."""
    return aggregator_pb2.AggregateResponse(ack=aggregator_pb2.Ack(seq=seq)).SerializeToString()


def encode_effect(effect: Effect) -> bytes:
    """The bytes of an AggregateResponse. An Update is read now, at the last moment."""
    message = aggregator_pb2.AggregateResponse()
    match effect:
        case Arm(kind, at):
            message.arm.kind = number(kind)
            message.arm.at.CopyFrom(duration(at))
        case Update(read):
            value, coverage = read()
            write_value(value, message.update.payload)
            write_coverage(coverage, message.update.coverage)
        case Verdict(by, applied_seq, at, accepted):
            message.verdict.completed_by = number(by)
            message.verdict.applied_seq = applied_seq
            message.verdict.at.CopyFrom(duration(at))
            message.verdict.accepted = accepted
        case Result(value, coverage, conflicts, merged, error):
            message.result.SetInParent()
            write_value(value, message.result.payload)
            write_coverage(coverage, message.result.coverage)
            for conflict in conflicts:
                write_conflict(conflict, message.result.conflicts.add())
            message.result.merged.extend(merged)
            message.result.error = error
        case never:
            assert_never(never)
    return message.SerializeToString()


def decode_answer(raw: bytes) -> Effect | Ack:
    """What is in an AggregateResponse. LogError names the field that is wrong, or not known here."""
    try:
        message = aggregator_pb2.AggregateResponse.FromString(raw)
    except DecodeError:
        raise LogError("", "not an AggregateResponse") from None
    match message.WhichOneof("event"):
        case "ack":
            return Ack(message.ack.seq)
        case "arm":
            return Arm(read_enum(AlarmKind, message.arm.kind, "arm.kind"), read_duration(message.arm.at, "arm.at"))
        case "update":
            seen = read_value(message.update.payload, "update.payload"), read_coverage(message.update.coverage)
            return Update(lambda: seen)
        case "verdict":
            verdict = message.verdict
            by = read_enum(CompletedBy, verdict.completed_by, "verdict.completed_by")
            return Verdict(by, verdict.applied_seq, read_duration(verdict.at, "verdict.at"), verdict.accepted)
        case "result":
            return _read_result(message.result)
        case _:
            raise LogError("event", "is not set, or not known here")


def _read_result(message: aggregator_pb2.AggregateResult) -> Result:
    merged = tuple(message.merged)
    return Result(
        read_value(message.payload, "result.payload"),
        read_coverage(message.coverage),
        tuple(read_conflict(conflict, f"result.conflicts[{at}]", merged) for at, conflict in enumerate(message.conflicts)),
        merged,
        message.error,
    )

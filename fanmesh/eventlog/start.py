"""Start ⇄ AggregateStart: the request, its nodes and its rules."""

from __future__ import annotations

from math import inf, nextafter
from typing import Final

from fanmesh.eventlog.fields import (
    LogError,
    duration,
    number,
    read_duration,
    read_enum,
    read_number,
    read_value,
    write_value,
)
from fanmesh.jsontext import PayloadError, encode, parse
from fanmesh.model.completion import CompletionRule, Grace, Predicate, Until, UntilKind
from fanmesh.model.events import FoldNode, Start
from fanmesh.model.merge import MergeSpec
from fanmesh.model.states import EmitMode, Gather, IfMissing, OnFailure
from fanmesh.v1 import aggregator_pb2

K = UntilKind

FINITE: Final = nextafter(inf, 0)
"""The largest double."""


def write_start(start: Start, into: aggregator_pb2.AggregateStart) -> None:
    """Into a message that is empty."""
    into.request_id = start.request_id
    into.plan = start.plan
    for node in start.nodes:
        _write_node(node, into.nodes.add())
    into.stop.CopyFrom(duration(start.stop))
    into.total.CopyFrom(duration(start.total))
    _write_rule(start.completion, into.completion)
    into.merge.kind = start.merge.kind
    if start.merge.options is not None:
        into.merge.options_json = encode(start.merge.options).decode()
    into.emit = number(start.emit)
    if start.min_interval:
        into.min_interval.CopyFrom(duration(start.min_interval))
    into.traceparent = start.traceparent
    if (predicate := start.completion.predicate) is not None:
        into.predicate = predicate.source
        if predicate.min_interval:
            into.predicate_min_interval.CopyFrom(duration(predicate.min_interval))
        into.predicate_attributes.update(start.attributes)


def read_start(message: aggregator_pb2.AggregateStart) -> Start:
    """LogError for what is missing, out of range, or a rule that is not known here."""
    for field in ("stop", "total"):
        if not message.HasField(field):
            raise LogError(f"start.{field}", "is not set")
    stop, total = read_duration(message.stop, "start.stop"), read_duration(message.total, "start.total")
    if stop > total:
        raise LogError("start.stop", f"{stop} ns is after the total of {total} ns")
    return Start(
        message.request_id,
        message.plan,
        tuple(_read_node(node, f"start.nodes[{at}]") for at, node in enumerate(message.nodes)),
        stop,
        total,
        _read_rule(message.completion, _read_predicate(message)),
        _read_merge(message.merge),
        read_enum(EmitMode, message.emit or EmitMode.FINAL, "start.emit"),
        read_duration(message.min_interval, "start.min_interval"),
        message.traceparent,
        tuple(sorted(message.predicate_attributes.items())),
    )


def _write_node(node: FoldNode, into: aggregator_pb2.AggregateNode) -> None:
    into.id = node.id
    into.weight = node.weight
    into.required = node.required
    if node.soft is not None:
        into.soft_timeout.CopyFrom(duration(node.soft))
    into.if_missing = number(node.if_missing)
    if node.default is not None:
        write_value(node.default, into.default_value)
    into.write = node.write
    if node.gather is not None:
        into.gather = number(node.gather)


def _read_node(message: aggregator_pb2.AggregateNode, field: str) -> FoldNode:
    return FoldNode(
        message.id,
        read_number(message.weight, f"{field}.weight", most=FINITE),
        message.required,
        read_duration(message.soft_timeout, f"{field}.soft_timeout") if message.HasField("soft_timeout") else None,
        read_enum(IfMissing, message.if_missing or IfMissing.SKIP, f"{field}.if_missing"),
        read_value(message.default_value, f"{field}.default_value"),
        message.write,
        read_enum(Gather, message.gather, f"{field}.gather") if message.gather else None,
    )


def _write_rule(rule: CompletionRule, into: aggregator_pb2.CompletionRule) -> None:
    into.SetInParent()
    for until in rule.until:
        _write_until(until, into.until.add())
    if rule.soft is not None:
        into.soft_timeout.CopyFrom(duration(rule.soft))
    into.min_success = rule.min_success
    into.min_coverage = rule.min_coverage
    into.grace_min = rule.grace.minimum
    into.grace_max = rule.grace.maximum
    if rule.on_failure is not OnFailure.SETTLE:
        into.on_branch_failure = number(rule.on_failure)


def _write_until(until: Until, into: aggregator_pb2.Until) -> None:
    match until.kind:
        case K.ALL:
            into.all = True
        case K.FIRST:
            into.first = True
        case K.COUNT:
            into.count = int(until.value)
        case K.REQUIRED:
            into.required = True
        case K.COVERAGE:
            into.coverage = until.value
        case K.PREDICATE:
            into.predicate = True
        case K.CONFIDENCE:
            into.confidence = until.value
        case K.QUIET:
            into.quiet.CopyFrom(duration(int(until.value)))


def _read_predicate(message: aggregator_pb2.AggregateStart) -> Predicate | None:
    """What the rule asks; there is one without the other only in a log that nobody should fold."""
    asked = any(until.HasField("predicate") for until in message.completion.until)
    if asked is not bool(message.predicate):
        raise LogError("start.predicate", "is not set" if asked else "is asked by no rule of start.completion")
    interval = read_duration(message.predicate_min_interval, "start.predicate_min_interval")
    if not asked:
        return None
    return Predicate(message.predicate, tuple(sorted(message.predicate_attributes)), interval)


def _read_rule(message: aggregator_pb2.CompletionRule, predicate: Predicate | None) -> CompletionRule:
    field = "start.completion"
    grace = Grace(read_number(message.grace_min, f"{field}.grace_min"), read_number(message.grace_max, f"{field}.grace_max"))
    if grace.minimum > grace.maximum:
        raise LogError(f"{field}.grace_min", f"{grace.minimum} is more than grace_max, {grace.maximum}")
    return CompletionRule(
        tuple(_read_until(until, f"{field}.until[{at}]") for at, until in enumerate(message.until)) or (Until(K.ALL),),
        read_duration(message.soft_timeout, f"{field}.soft_timeout") if message.HasField("soft_timeout") else None,
        grace,
        message.min_success,
        read_number(message.min_coverage, f"{field}.min_coverage"),
        predicate,
        read_enum(OnFailure, message.on_branch_failure or OnFailure.SETTLE, f"{field}.on_branch_failure"),
    )


def _read_until(message: aggregator_pb2.Until, field: str) -> Until:
    kind = message.WhichOneof("rule")
    match kind:
        case "all" | "first" | "required" | "predicate":
            if not getattr(message, kind):
                raise LogError(f"{field}.{kind}", "is false; leave the rule out instead")
            return Until(K(kind))
        case "count":
            if not message.count:
                raise LogError(f"{field}.count", "is 0; at least 1 is needed")
            return Until(K.COUNT, message.count)
        case "coverage" | "confidence":
            return Until(K(kind), read_number(getattr(message, kind), f"{field}.{kind}", positive=True))
        case "quiet":
            if not (quiet := read_duration(message.quiet, f"{field}.quiet")):
                raise LogError(f"{field}.quiet", "is 0; some time is needed")
            return Until(K.QUIET, quiet)
        case _:
            raise LogError(field, "is not set, or not known here")


def _read_merge(message: aggregator_pb2.MergeSpec) -> MergeSpec:
    try:
        options = parse(message.options_json) if message.options_json else None
    except PayloadError as e:
        raise LogError("start.merge.options_json", str(e)) from None
    return MergeSpec(message.kind or "collect", options)

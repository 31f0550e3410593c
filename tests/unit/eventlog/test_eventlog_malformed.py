from collections.abc import Callable

import pytest

from fanmesh.eventlog import LogError, decode_answer, decode_event, encode_effect, encode_event, read_conflict, write_conflict
from fanmesh.model.completion import CompletionRule
from fanmesh.model.coverage import Coverage
from fanmesh.model.events import Event, FoldNode, Result, Start
from fanmesh.model.merge import Conflict, MergeSpec
from fanmesh.v1 import aggregator_pb2 as pb
from fanmesh.v1 import report_pb2

START = encode_event(Event(1, 0, Start("r", "p", (FoldNode("a"),), 5, 6, CompletionRule(), MergeSpec())))

Spoil = Callable[[pb.AggregateRequest], object]


def end(message: pb.AggregateRequest) -> pb.BranchEnd:
    """Make it an ending that is right."""
    message.end.branch = "a"
    message.end.state = pb.BranchEnd(state=2).state
    return message.end


def part(message: pb.AggregateRequest) -> pb.BranchPart:
    """Make it a part that is right."""
    message.part.branch = "a"
    message.part.mode = pb.BranchPart(mode=1).mode
    return message.part


def until(message: pb.AggregateRequest) -> pb.Until:
    """An empty rule."""
    rules = message.start.completion.until
    del rules[:]
    return rules.add()


SPOILT: list[tuple[str, Spoil]] = [
    ("seq", lambda m: m.ClearField("seq")),
    ("event", lambda m: m.ClearField("start")),
    ("at", lambda m: setattr(m.at, "seconds", -1)),
    ("at", lambda m: setattr(m.at, "nanos", -1)),
    ("at", lambda m: setattr(m.at, "nanos", 1_000_000_000)),
    ("at", lambda m: setattr(m.at, "seconds", 2**62)),
    ("start.stop", lambda m: m.start.ClearField("stop")),
    ("start.total", lambda m: m.start.ClearField("total")),
    ("start.stop", lambda m: setattr(m.start.stop, "seconds", 9)),
    ("start.predicate", lambda m: setattr(m.start, "predicate", "true")),
    ("start.predicate", lambda m: setattr(until(m), "predicate", True)),
    ("start.predicate_min_interval", lambda m: setattr(m.start.predicate_min_interval, "seconds", -1)),
    ("start.emit", lambda m: setattr(m.start, "emit", 99)),
    ("start.merge.options_json", lambda m: setattr(m.start.merge, "options_json", "{")),
    ("start.nodes[0].weight", lambda m: setattr(m.start.nodes[0], "weight", -1)),
    ("start.nodes[0].weight", lambda m: setattr(m.start.nodes[0], "weight", float("inf"))),
    ("start.nodes[0].if_missing", lambda m: setattr(m.start.nodes[0], "if_missing", 99)),
    ("start.nodes[0].soft_timeout", lambda m: setattr(m.start.nodes[0].soft_timeout, "seconds", -1)),
    ("start.nodes[0].default_value", lambda m: setattr(m.start.nodes[0].default_value, "json", "nope")),
    ("start.completion.min_coverage", lambda m: setattr(m.start.completion, "min_coverage", 1.5)),
    ("start.completion.grace_min", lambda m: setattr(m.start.completion, "grace_min", 0.5)),
    ("start.completion.grace_max", lambda m: setattr(m.start.completion, "grace_max", float("nan"))),
    ("start.completion.soft_timeout", lambda m: setattr(m.start.completion.soft_timeout, "nanos", -5)),
    ("start.completion.until[0]", until),
    ("start.completion.until[0].all", lambda m: setattr(until(m), "all", False)),
    ("start.completion.until[0].count", lambda m: setattr(until(m), "count", 0)),
    ("start.completion.until[0].coverage", lambda m: setattr(until(m), "coverage", 0)),
    (
        "start.completion.until[0].predicate",
        lambda m: (setattr(until(m), "predicate", False), setattr(m.start, "predicate", "true")),
    ),
    ("start.completion.until[0].confidence", lambda m: setattr(until(m), "confidence", 0)),
    ("start.completion.until[0].quiet", lambda m: until(m).quiet.SetInParent()),
    ("change.kind", lambda m: m.change.SetInParent()),
    ("change.kind", lambda m: setattr(m.change, "kind", 9)),
    ("change.items", lambda m: (setattr(m.change, "kind", 2), m.change.items.append("x"))),
    ("change.reason", lambda m: (setattr(m.change, "kind", 2), setattr(m.change, "reason", 99))),
    ("alarm.kind", lambda m: m.alarm.SetInParent()),
    ("end.state", lambda m: end(m).ClearField("state")),
    ("end.reason", lambda m: setattr(end(m), "reason", 99)),
    ("end.payload", lambda m: setattr(end(m).payload, "json", "NaN")),
    ("end.confidence", lambda m: setattr(end(m), "confidence", 1.01)),
    ("end.usage", lambda m: setattr(end(m).usage, "output_tokens", -1)),
    ("end.span_id", lambda m: setattr(end(m), "span_id", b"1234")),
    ("part.mode", lambda m: part(m).ClearField("mode")),
    ("part.payload", lambda m: setattr(part(m).payload.data.fields["x"], "number_value", float("nan"))),
    ("part.confidence", lambda m: setattr(part(m), "confidence", float("nan"))),
    ("part.span_id", lambda m: setattr(part(m), "span_id", b"123456789")),
]


@pytest.mark.parametrize(("field", "spoil"), SPOILT, ids=[f"{at}-{field}" for at, (field, _) in enumerate(SPOILT)])
def test_a_malformed_event_is_refused_by_the_name_of_its_field(field: str, spoil: Spoil) -> None:
    """What is wrong, missing or not built is named, and never skipped."""
    message = pb.AggregateRequest.FromString(START)
    spoil(message)
    with pytest.raises(LogError) as caught:
        decode_event(message.SerializeToString())
    assert caught.value.field == field
    assert str(caught.value).startswith(f"{field}: ")


def test_what_is_unset_has_its_default() -> None:
    """A writer in another language may leave out what says nothing: merge, rule, emit, missing answers."""
    message = pb.AggregateRequest(seq=1)
    message.start.nodes.add(id="a", weight=1)
    message.start.stop.nanos = 5
    message.start.total.nanos = 6
    rule = CompletionRule(min_success=0)
    assert decode_event(message.SerializeToString()) == Event(1, 0, Start("", "", (FoldNode("a"),), 5, 6, rule, MergeSpec()))


def test_an_ending_without_a_payload_is_the_end_of_a_stream() -> None:
    """Parts are the answer where an ending brings none; an empty payload is an answer, null."""
    message = pb.AggregateRequest(seq=1)
    end(message)
    streamed = decode_event(message.SerializeToString()).what
    message.end.payload.SetInParent()
    unary = decode_event(message.SerializeToString()).what
    assert (getattr(streamed, "streamed", None), getattr(unary, "streamed", None)) == (True, False)


WRONG_ANSWERS: list[tuple[str, pb.AggregateResponse]] = [
    ("event", pb.AggregateResponse()),
    ("arm.kind", pb.AggregateResponse(arm=pb.Arm())),
    ("verdict.completed_by", pb.AggregateResponse(verdict=pb.Verdict(applied_seq=1))),
    ("result.conflicts[0].values", pb.AggregateResponse(result=pb.AggregateResult(conflicts=[report_pb2.Conflict()]))),
]
WRONG_ANSWERS[3][1].result.conflicts[0].values["a"].number_value = float("inf")


@pytest.mark.parametrize(("field", "message"), WRONG_ANSWERS, ids=[field for field, _ in WRONG_ANSWERS])
def test_a_malformed_answer_is_refused_by_the_name_of_its_field(field: str, message: pb.AggregateResponse) -> None:
    """An aggregator that says what cannot be read is found out, field by field."""
    with pytest.raises(LogError) as caught:
        decode_answer(message.SerializeToString())
    assert caught.value.field == field


@pytest.mark.parametrize("decode", [decode_event, decode_answer])
def test_bytes_that_are_no_message_are_refused(decode: Callable[[bytes], object]) -> None:
    """There is no field to name then."""
    with pytest.raises(LogError, match=r"^not an Aggregate"):
        decode(b"\xff\xff\xff")


@pytest.mark.parametrize(
    ("value", "text"),
    [(2**53 + 1, "9007199254740993"), ({"n": [2**63]}, '{"n":[9223372036854775808]}')],
)
def test_a_conflict_gives_what_a_double_cannot_hold_as_text(value: object, text: str) -> None:
    """A report is neither a little wrong nor does it fail over a detail; writing it again changes nothing."""
    message = report_pb2.Conflict()
    write_conflict(Conflict("p", {"a": value}, "a"), message)  # type: ignore[dict-item]  # a JSON value
    read = read_conflict(message, "x")
    assert read.values == {"a": text}
    again = report_pb2.Conflict()
    write_conflict(read, again)
    assert again == message


def test_conflicting_branches_come_in_the_order_of_the_result() -> None:
    """A map on the wire has no order, so that of the merged branches is used, and then that of the names."""
    values = {"d": 1, "b": 2, "a": 3, "c": 4}
    back = decode_answer(encode_effect(Result(None, Coverage(), (Conflict("p", values, "d"),), ("d", "c", "a"))))  # type: ignore[arg-type]  # JSON
    assert isinstance(back, Result)
    assert list(back.conflicts[0].values) == ["d", "c", "a", "b"]

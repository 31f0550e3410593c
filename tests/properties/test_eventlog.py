"""What one end of the Aggregate stream writes, the other reads back exactly."""

import struct
from contextlib import suppress
from dataclasses import replace
from math import isnan

from hypothesis import given
from hypothesis import strategies as st

from fanmesh.eventlog import Ack, LogError, decode_answer, decode_event, encode_ack, encode_effect, encode_event
from fanmesh.model.completion import CompletionRule, Grace, Predicate, Until, UntilKind
from fanmesh.model.coverage import Coverage
from fanmesh.model.events import Alarm, Arm, Change, End, Event, FoldNode, PartArrived, Result, Start, Update, Verdict
from fanmesh.model.merge import Conflict, MergeSpec
from fanmesh.model.states import AlarmKind, BranchReason, BranchState, ChangeKind, CompletedBy, EmitMode, IfMissing
from fanmesh.model.usage import Usage
from fanmesh.model.values import Opaque

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
INT = st.one_of(st.integers(-(2**63), 2**64 - 1), st.sampled_from([2**53, 2**53 + 1, -(2**63), 2**64 - 1]))
FLOAT = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | INT | FLOAT | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
OPAQUE = st.builds(Opaque, TEXT, st.binary(max_size=20), st.booleans())
VALUE = JSON | OPAQUE | st.just(Opaque("type.googleapis.com/google.protobuf.Struct", b"", is_message=True))
NS = st.integers(0, 2**63 - 1)
RATIO = st.floats(0, 1)
MAYBE_RATIO = st.none() | RATIO
U32 = st.integers(0, 2**32 - 1)
SEQ = st.integers(1, 2**64 - 1)
SPAN = st.one_of(st.just((b"", 0)), st.tuples(st.binary(min_size=8, max_size=8), st.integers(0, 255)))
USAGE = st.builds(Usage, *[st.integers(0, 2**63 - 1)] * 3)

NODE = st.builds(
    FoldNode, TEXT, st.floats(0, allow_infinity=False), st.booleans(), st.none() | NS, st.sampled_from(IfMissing), VALUE
)
UNTIL = st.one_of(
    st.builds(Until, st.sampled_from([UntilKind.ALL, UntilKind.FIRST, UntilKind.REQUIRED])),
    st.builds(Until, st.just(UntilKind.COUNT), st.integers(1, 2**32 - 1)),
    st.builds(Until, st.sampled_from([UntilKind.COVERAGE, UntilKind.CONFIDENCE]), st.floats(0, 1, exclude_min=True)),
    st.builds(Until, st.just(UntilKind.QUIET), st.integers(1, 2**63 - 1)),
)
ATTRIBUTES = st.dictionaries(TEXT, TEXT, max_size=3).map(lambda given: tuple(sorted(given.items())))


def _asking(start: Start, source: str, min_interval: int, attributes: tuple[tuple[str, str], ...]) -> Start:
    """The same with a predicate beside its other rules."""
    asked = Predicate(source, tuple(name for name, _ in attributes), min_interval)
    rules = replace(start.completion, until=(*start.completion.until, Until(UntilKind.PREDICATE)), predicate=asked)
    return start._replace(completion=rules, attributes=attributes)


RULE = st.builds(
    CompletionRule,
    st.lists(UNTIL, min_size=1, max_size=3).map(tuple),
    st.none() | NS,
    st.tuples(RATIO, RATIO).map(lambda pair: Grace(*sorted(pair))),
    U32,
    RATIO,
)
PLAIN = st.builds(
    lambda times, **rest: Start(stop=min(times), total=max(times), **rest),
    st.tuples(NS, NS),
    request_id=TEXT,
    plan=TEXT,
    nodes=st.lists(NODE, max_size=4).map(tuple),
    completion=RULE,
    merge=st.builds(MergeSpec, TEXT.filter(bool), st.none() | st.dictionaries(TEXT, JSON, max_size=3)),
    emit=st.sampled_from(EmitMode),
    min_interval=NS,
    traceparent=TEXT,
)
START = PLAIN | st.builds(_asking, PLAIN, TEXT.filter(bool), NS, ATTRIBUTES)
ITEM = st.none() | U32
FATE_OF_A_NODE = st.sampled_from([kind for kind in ChangeKind if kind is not ChangeKind.EXPANDED])
KEYS = st.lists(TEXT, max_size=3).map(tuple)
CHANGE = st.one_of(
    st.builds(Change, TEXT, FATE_OF_A_NODE, st.sampled_from(BranchReason), ITEM, st.just(()), st.just(0)),
    st.builds(Change, TEXT, st.just(ChangeKind.EXPANDED), st.sampled_from(BranchReason), ITEM, KEYS, U32),
)
PART = st.builds(
    lambda head, span, item: PartArrived(*head, *span, item),
    st.tuples(TEXT, U32, U32, st.booleans(), VALUE, MAYBE_RATIO),
    SPAN,
    ITEM,
)
ENDED = st.tuples(TEXT, U32, st.sampled_from(BranchState), st.sampled_from(BranchReason))
FATE = st.tuples(MAYBE_RATIO, USAGE, st.integers(0, 16), TEXT)
END = st.builds(
    lambda head, answer, fate, span, item: End(*head, *answer, *fate, *span, item),
    ENDED,
    st.one_of(st.tuples(VALUE, st.just(False)), st.just((None, True))),
    FATE,
    SPAN,
    ITEM,
)
EVENT = st.builds(Event, SEQ, NS, st.one_of(START, CHANGE, PART, END, st.builds(Alarm, st.sampled_from(AlarmKind), TEXT)))

COVERAGE = st.builds(Coverage, RATIO, FLOAT, FLOAT, *[U32] * 11)
SMALL = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | FLOAT.filter(lambda x: abs(x) < 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
CONFLICT = st.builds(Conflict, TEXT, st.dictionaries(TEXT, SMALL, max_size=3), TEXT)
RESULT = st.builds(
    Result, VALUE, COVERAGE, st.lists(CONFLICT, max_size=3).map(tuple), st.lists(TEXT, max_size=3).map(tuple), TEXT
)
ARM = st.builds(Arm, st.sampled_from([AlarmKind.GRACE, AlarmKind.QUIET, AlarmKind.PREDICATE]), NS)
VERDICT = st.builds(Verdict, st.sampled_from(CompletedBy), SEQ, NS, st.booleans())


def bits(value: object) -> object:
    """`value` such that equal means the same to the last bit: floats as bytes, types told apart."""
    match value:
        case float():
            assert not isnan(value)
            return "float", struct.pack(">d", value)
        case dict():
            return {key: bits(item) for key, item in value.items()}
        case list() | tuple():
            return [bits(item) for item in value]
        case CompletionRule() | Until() | Grace() | Predicate() | FoldNode():
            return [bits(getattr(value, name)) for name in value.__slots__]
        case _:
            return type(value), value


@given(EVENT)
def test_an_event_survives_the_wire_to_the_last_bit(event: Event) -> None:
    """Times in ns, floats, 64-bit integers and values that nobody opens come back as they were."""
    back = decode_event(encode_event(event))
    if not isinstance(event.what, Start):
        assert bits(back) == bits(event)
    assert repr(back) == repr(event)


@given(ARM | VERDICT)
def test_a_verdict_and_a_wish_survive_the_wire(effect: Arm | Verdict) -> None:
    """What decides about a request comes back as it was."""
    assert decode_answer(encode_effect(effect)) == effect


@given(RESULT)
def test_a_result_survives_the_wire_to_the_last_bit(result: Result) -> None:
    """Value, coverage and the merged branches are the same bits; conflicts are equal as JSON."""
    back = decode_answer(encode_effect(result))
    assert isinstance(back, Result)
    assert bits((back.value, back.coverage, back.merged, back.error)) == bits(
        (result.value, result.coverage, result.merged, result.error)
    )
    assert back.conflicts == result.conflicts


@given(VALUE, COVERAGE)
def test_a_snapshot_is_read_when_it_is_written(value: object, coverage: Coverage) -> None:
    """An Update carries what `read` gives at the moment of writing."""
    back = decode_answer(encode_effect(Update(lambda: (value, coverage))))  # type: ignore[arg-type,return-value]  # a drawn value
    assert isinstance(back, Update)
    assert bits(back.read()) == bits((value, coverage))


@given(SEQ)
def test_an_acknowledgement_survives_the_wire(seq: int) -> None:
    """Its number comes back."""
    assert decode_answer(encode_ack(seq)) == Ack(seq)


@given(st.binary(max_size=60))
def test_rubbish_is_a_log_error_or_an_event(raw: bytes) -> None:
    """Whatever bytes arrive, nothing but a LogError comes out of reading them."""
    for decode in (decode_event, decode_answer):
        with suppress(LogError):
            assert decode(raw) is not None

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanmesh.model.fault import Code
from fanmesh.transport.fast.framing import HEAD, SMALL, BadMessage, Inbox, Only, deflate, goaway, head, packed_head

LIMIT = 1000


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    """In pieces of these sizes, and the rest."""
    out = []
    for size in sizes:
        out.append(data[:size])
        data = data[size:]
    return [*out, data]


@given(st.lists(st.tuples(st.binary(max_size=100), st.booleans()), max_size=8), st.lists(st.integers(0, 30), max_size=20))
def test_messages_are_the_same_however_they_are_cut(messages: list[tuple[bytes, bool]], sizes: list[int]) -> None:
    """Each once, in order, and the bytes that they took add up."""
    sent = b""
    for message, zipped in messages:
        payload = gzip.compress(message) if zipped else message
        sent += bytes([zipped]) + len(payload).to_bytes(4, "big") + payload
    inbox = Inbox(LIMIT, b"gzip")
    got, used = [], 0
    for piece in cut(sent, sizes):
        inbox.feed(piece)
        while (taken := inbox.take()) is not None:
            got.append(taken[0])
            used += taken[1]
    assert got == [message for message, _ in messages]
    assert used == len(sent)
    assert not len(inbox)


@given(st.binary(max_size=300), st.lists(st.integers(0, 30), max_size=20), st.sampled_from([b"identity", b"gzip", b"br"]))
def test_rubbish_is_refused_or_waited_for_and_never_more(data: bytes, sizes: list[int], encoding: bytes) -> None:
    """Nothing but BadMessage is raised, and nothing over the limit comes out."""
    inbox, only = Inbox(LIMIT, encoding), Only(LIMIT)
    try:
        for piece in cut(data, sizes):
            inbox.feed(piece)
            while (taken := inbox.take()) is not None:
                assert len(taken[0]) <= LIMIT
    except BadMessage as e:
        assert e.code in (Code.INTERNAL, Code.RESOURCE_EXHAUSTED)  # noqa: PT017
    try:
        for piece in cut(data, sizes):
            only.feed(piece)
        message = only.message(encoding)
        assert message is None or len(message) <= LIMIT
    except BadMessage as e:
        assert e.code in (Code.INTERNAL, Code.RESOURCE_EXHAUSTED)  # noqa: PT017


@given(st.binary(max_size=LIMIT), st.lists(st.integers(0, 300), max_size=20), st.booleans())
def test_the_one_message_is_the_same_however_it_is_cut(message: bytes, sizes: list[int], zipped: bool) -> None:  # noqa: FBT001
    """Compressed or not."""
    payload = gzip.compress(message) if zipped else message
    only = Only(LIMIT + 100)
    for piece in cut(bytes([zipped]) + len(payload).to_bytes(4, "big") + payload, sizes):
        only.feed(piece)
    assert only.message(b"gzip") == message


@pytest.mark.parametrize(
    ("data", "encoding", "code", "text"),
    [
        (b"\0\0\0\x03\xe9" + b"x", b"identity", Code.RESOURCE_EXHAUSTED, "larger than max"),
        (b"\2" + head(1)[1:] + b"x", b"identity", Code.INTERNAL, "flags"),
        (b"\1" + head(1)[1:] + b"x", b"identity", Code.INTERNAL, "identity"),
        (b"\1" + head(3)[1:] + b"xyz", b"gzip", Code.INTERNAL, "no gzip"),
        (head(2) + b"x", b"identity", Code.INTERNAL, "cut short"),
        (b"\0\0", b"identity", Code.INTERNAL, "cut short"),
        (head(1) + b"xy", b"identity", Code.INTERNAL, "more than one"),
    ],
)
def test_what_is_no_message_is_told(data: bytes, encoding: bytes, code: Code, text: str) -> None:
    """By the status that gRPC has for it."""
    only = Only(LIMIT)
    with pytest.raises(BadMessage, match=text) as e:  # noqa: PT012  (either may say it)
        only.feed(data)
        only.message(encoding)
    assert e.value.code is code


def test_a_bomb_is_not_unpacked() -> None:
    """No more than the limit and one byte, whatever it would come to; and one that is cut is told from a whole one."""
    bomb = gzip.compress(b"\0" * 10**7)
    inbox = Inbox(10**6, b"gzip")
    inbox.feed(b"\1" + head(len(bomb))[1:] + bomb)
    with pytest.raises(BadMessage, match="larger than max"):
        inbox.take()
    short = gzip.compress(b"abc")[:-4]
    inbox = Inbox(10**6, b"gzip")
    inbox.feed(b"\1" + head(len(short))[1:] + short)
    with pytest.raises(BadMessage, match="cut short"):
        inbox.take()


@pytest.mark.parametrize("rest", [gzip.compress(b"second"), b"noise", b"\0"], ids=["a second member", "noise", "padding"])
def test_nothing_may_follow_what_is_compressed(rest: bytes) -> None:
    """Half of a message must not pass for the whole: gRPC's core refuses it, too."""
    payload = gzip.compress(b"first") + rest
    inbox = Inbox(LIMIT, b"gzip")
    inbox.feed(b"\1" + head(len(payload))[1:] + payload)
    with pytest.raises(BadMessage, match="more than one gzip") as e:
        inbox.take()
    assert e.value.code is Code.INTERNAL


MESSAGES = st.builds(
    lambda noise, times, rest: noise * times + rest, st.binary(max_size=3000), st.integers(1, 30), st.binary(max_size=100)
)
"""Noise, which gets no smaller, and noise that repeats itself, which does; from nothing to some windows of gzip."""


def sent(message: bytes) -> bytes:
    """A message as a compressing call sends it."""
    packed = deflate(message)
    return head(len(message)) + message if packed is None else packed_head(len(packed)) + packed


@given(st.lists(MESSAGES, max_size=4), st.lists(st.integers(0, 5000), max_size=20))
def test_what_is_compressed_comes_out_the_same_and_is_never_larger(messages: list[bytes], sizes: list[int]) -> None:
    """Each message says for itself whether it is, so both kinds may follow each other; the limit counts what comes out."""
    for message in messages:
        assert len(sent(message)) <= HEAD + len(message)
    inbox = Inbox(max(map(len, messages), default=0), b"gzip")
    got = []
    for piece in cut(b"".join(map(sent, messages)), sizes):
        inbox.feed(piece)
        while (taken := inbox.take()) is not None:
            got.append(taken[0])
    assert got == messages
    assert not len(inbox)


@given(MESSAGES)
def test_others_unpack_it(message: bytes) -> None:
    """It is a gzip file like any other, and the same each time: no time stamp is in it."""
    packed = deflate(message)
    assert packed == deflate(message)
    assert packed is None or gzip.decompress(packed) == message


def test_small_messages_are_not_compressed() -> None:
    """However well they would."""
    assert deflate(bytes(SMALL - 1)) is None
    assert deflate(bytes(SMALL)) is not None
    assert packed_head(7) == b"\1" + head(7)[1:]


def test_nothing_is_no_message() -> None:
    """A call may end without one; whoever needs one says so."""
    assert Only(LIMIT).message(b"identity") is None


def test_goaway_is_a_frame() -> None:
    """Length, type, flags, stream 0; last stream, error, text."""
    assert goaway(5, 11, b"no") == b"\0\0\x0a\x07\0\0\0\0\0" + b"\0\0\0\5" + b"\0\0\0\x0b" + b"no"
    assert len(head(7)) == HEAD

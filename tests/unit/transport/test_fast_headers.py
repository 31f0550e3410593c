import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanmesh.model.times import MS, SECOND, US
from fanmesh.transport.fast import headers

KEYS = st.from_regex(r"[0-9a-z_.-]{1,20}", fullmatch=True).filter(lambda key: key.encode() not in headers.OURS)
TEXTS = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=50)
PAIRS = st.one_of(
    st.tuples(KEYS.filter(lambda key: not key.endswith("-bin")), TEXTS.map(lambda text: text.strip(" "))),
    st.tuples(KEYS.map(lambda key: f"{key}-bin"), st.binary(max_size=50)),
)


@given(st.lists(PAIRS, max_size=10))
def test_metadata_survives_the_wire(pairs: list[tuple[str, str | bytes]]) -> None:
    """Text and bytes, in order, a key several times."""
    assert headers.decode(headers.encode(pairs)) == tuple(pairs)


@given(st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=40)), max_size=10))
def test_whatever_a_peer_sends_is_read(fields: list[tuple[bytes, bytes]]) -> None:
    """What is no base64 is left out; nothing raises."""
    for key, value in headers.decode(fields):
        assert isinstance(value, bytes) == key.endswith("-bin")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("A", "x"),
        ("a b", "x"),
        ("", "x"),
        ("ä", "x"),
        (":path", "/"),
        ("te", "x"),
        ("grpc-status", "0"),
        ("grpc-timeout", "1S"),
        ("a", "x\ny"),
        ("a", "ö"),
        ("a", "\x7f"),
        ("a", "\x00"),
    ],
)
def test_what_would_change_the_call_is_refused(key: str, value: str) -> None:
    """Keys of the protocol, and what HTTP/2 cannot carry. The text does not tell the value."""
    with pytest.raises(headers.BadMetadata) as e:
        headers.encode([(key, value)])
    assert not value or len(value) < 2 or value not in str(e.value)


@pytest.mark.parametrize("text", [b"AP8", b"AP8="])
def test_base64_may_be_padded(text: bytes) -> None:
    """Both are sent; a list of values under one key is several values."""
    assert headers.decode([(b"k-bin", text)]) == (("k-bin", b"\x00\xff"),)
    assert headers.decode([(b"k-bin", text + b", " + text)]) == (("k-bin", b"\x00\xff"),) * 2


@given(st.text())
def test_messages_survive_in_any_script(message: str) -> None:
    """But for lone surrogates, which nobody can send."""
    encoded = headers.percent_encode(message)
    assert all(0x20 <= byte <= 0x7E for byte in encoded)
    assert encoded == encoded.strip()  # HTTP/2 has no space at either end of a field
    assert headers.percent_decode(encoded) == message.encode(errors="replace").decode()


@pytest.mark.parametrize(("message", "encoded"), [(" ", b"%20"), ("  ", b"%20%20"), (" a b  ", b"%20a b %20"), ("", b"")])
def test_spaces_at_the_ends_of_a_message_are_encoded(message: str, encoded: bytes) -> None:
    """And only those."""
    assert headers.percent_encode(message) == encoded


@given(st.binary())
def test_a_message_that_is_badly_encoded_is_still_read(message: bytes) -> None:
    """It is for people."""
    assert isinstance(headers.percent_decode(message), str)


@pytest.mark.parametrize(
    ("encoded", "message"), [(b"50 %25", "50 %"), (b"50 %", "50 %"), (b"a%0Ab", "a\nb"), (b"%zz", "%zz"), (b"%C3%B6", "ö")]
)
def test_percent_encoding(encoded: bytes, message: str) -> None:
    """As the protocol document has it; what is no encoding is left as it is."""
    assert headers.percent_decode(encoded) == message


@pytest.mark.parametrize(
    ("value", "ns"),
    [(b"1H", 3600 * SECOND), (b"2M", 120 * SECOND), (b"3S", 3 * SECOND), (b"4m", 4 * MS), (b"5u", 5 * US), (b"6n", 6)]
    + [(b"0n", 0), (b"99999999H", 99_999_999 * 3600 * SECOND)]
    + [
        (bad, None)
        for bad in (b"", b"S", b"1", b"123456789S", b"-1S", b"+1S", b" 1S", b"1 S", b"1s", b"1_0S", b"1.5S", b"\xb2S")
    ],
)
def test_a_timeout_is_digits_and_a_unit(value: bytes, ns: int | None) -> None:
    """Anything else is none."""
    assert headers.timeout_ns(value) == ns


@given(st.integers(min_value=1, max_value=10**18))
def test_a_timeout_that_is_sent_is_never_shorter(left: int) -> None:
    """And at most a thousandth longer, or a microsecond."""
    ns = headers.timeout_ns(headers.timeout(left))
    assert ns is not None
    if left <= 99_999_999 * SECOND:
        assert left <= ns <= left + left // 1000 + 1000


@pytest.mark.parametrize("kind", [b"application/grpc", b"application/grpc+proto", b"application/grpc;charset=utf-8"])
def test_what_is_grpc(kind: bytes) -> None:
    """With or without a subtype or parameters."""
    assert headers.is_grpc(kind)


@pytest.mark.parametrize("kind", [b"", b"application/grp", b"application/grpc-web", b"application/grpcfoo", b"text/html"])
def test_what_is_not_grpc(kind: bytes) -> None:
    """A name that only begins like it is another protocol."""
    assert not headers.is_grpc(kind)


def test_a_header_list_fits_by_its_bytes_and_by_its_fields() -> None:
    """32 bytes more for each, and 256 of them."""
    assert headers.fits([(b"k", b"v" * 67)] * 10, 1000)
    assert not headers.fits([(b"k", b"v" * 67)] * 10, 999)
    assert headers.fits([(b"k", b"")] * 256, 100_000)
    assert not headers.fits([(b"k", b"")] * 257, 100_000)

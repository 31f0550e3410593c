from urllib.parse import quote

import pytest
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo

from fanmesh.model.fault import Code
from fanmesh.transport import status


def test_details_survive_the_trailer() -> None:
    """What is packed on one side is found on the other, by its type."""
    trailers = status.trailers(Code.NOT_FOUND, "no", [status.error_info("NO_ROUTE", {"a": "b"})], (("k", "v"),))
    assert trailers[0] == ("k", "v")
    rich = status.read(trailers)
    assert rich is not None
    assert (rich.code, rich.message) == (5, "no")
    info = status.find(rich, ErrorInfo)
    assert info is not None
    assert (info.reason, info.domain, info.metadata["a"]) == ("NO_ROUTE", "fanmesh", "b")
    assert status.find(rich, RetryInfo) is None


def test_without_details_there_is_no_extra_trailer() -> None:
    """The status line is enough then."""
    assert status.trailers(Code.NOT_FOUND, "no", (), (("k", "v"),)) == (("k", "v"),)


@pytest.mark.parametrize("trailers", [(), (("other", "x"),), ((status.DETAILS, b"\xff\xff"),), ((status.DETAILS, "text"),)])
def test_rubbish_in_the_trailer_is_no_status(trailers: tuple[tuple[str, str | bytes], ...]) -> None:
    """A peer may send anything; reading it never raises."""
    assert status.read(trailers) is None
    assert status.find(None, ErrorInfo) is None


def test_a_detail_that_lies_about_its_type_is_not_found() -> None:
    """The type says ErrorInfo, the bytes do not."""
    rich = status.status(Code.INTERNAL, "", [ErrorInfo(reason="X")])
    rich.details[0].value = b"\xff\xff"
    assert status.find(rich, ErrorInfo) is None


@pytest.mark.parametrize(("value", "wish"), [("250", 250), ("-1", -1), ("soon", -1), ("", -1), (b"7", 7)])
def test_pushback_is_read_as_the_peer_means_it(value: str | bytes, wish: int) -> None:
    """Milliseconds; negative and unreadable both mean: do not come back."""
    assert status.pushback(((status.PUSHBACK, value),)) == wish
    assert status.pushback((("other", "1"),)) is None


def test_messages_are_cut_and_made_sendable() -> None:
    """No message is longer than the limit, and none holds half a character."""
    assert status.clip("x" * 5000) == "x" * 1023 + "…"
    assert status.clip("a\ud800b") == "a?b"
    assert status.clip("fine") == "fine"


@pytest.mark.parametrize("character", ["a", "%", "é", "語", "😀", "\n"])
def test_messages_are_bounded_as_they_are_sent(character: str) -> None:
    """GRPC writes three bytes for each that is not printable ASCII, and trailers over 8 KB replace the status at random."""
    clipped = status.clip(character * 5000)
    sent = quote(clipped, safe="".join(chr(c) for c in range(0x20, 0x7F) if chr(c) != "%"))
    assert len(sent) <= 2 * 1024
    assert clipped.endswith("…")
    assert len(clipped) == 1024 if character == "a" else len(sent) > 2 * 1024 - 24

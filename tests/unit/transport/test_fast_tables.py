import pytest

from fanmesh.model.fault import Code
from fanmesh.model.times import MS, SECOND
from fanmesh.transport.fast import mapping
from fanmesh.transport.fast.address import Target, parse
from fanmesh.transport.fast.defences import Bucket


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (0, 13),
        (1, 13),
        (2, 13),
        (3, 13),
        (4, 13),
        (5, 2),
        (6, 13),
        (7, 14),
        (8, 1),
        (9, 13),
        (10, 13),
        (11, 8),
        (12, 7),
        (13, 2),
        (99, 2),
        (2**32 - 1, 2),
    ],
)
def test_a_reset_as_grpcs_document_has_it(error: int, code: int) -> None:
    """The table of "gRPC over HTTP2"; numbers that nobody knows are UNKNOWN."""
    assert mapping.of_reset(error, late=False) == code
    assert mapping.of_reset(error, late=True) == (Code.DEADLINE_EXCEEDED if error == mapping.CANCEL else code)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, 13),
        (401, 16),
        (403, 7),
        (404, 12),
        (429, 14),
        (502, 14),
        (503, 14),
        (504, 14),
        (200, 2),
        (302, 2),
        (500, 2),
        (418, 2),
    ],
)
def test_an_http_status_as_grpcs_document_has_it(status: int, code: int) -> None:
    """The table of "HTTP to gRPC Status Code Mapping"."""
    assert mapping.of_http(b"%d" % status) == code


@pytest.mark.parametrize(
    ("value", "code"),
    [
        *((b"0", 0), (b"16", 16), (b"17", 2), (b"-1", 2), (b"", 2), (b"no", 2), (b"\xff", 2), (b"9" * 5000, 2)),
        *((b"1_4", 2), (b"+0", 2), (b"-0", 2), (b" 0", 2), (b"\xd9\xa0", 2)),
    ],
)
def test_a_status_that_nobody_knows_is_unknown(value: bytes, code: int) -> None:
    """A number that is none, too."""
    assert mapping.of_field(value) == code


def test_errors_have_names() -> None:
    """In messages; one that nobody knows keeps its number."""
    assert (mapping.name(8), mapping.name(13), mapping.name(14)) == ("CANCEL", "HTTP_1_1_REQUIRED", "error 14")


@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("127.0.0.1:5", Target("127.0.0.1", 5, "", "127.0.0.1:5")),
        ("host:5", Target("host", 5, "", "host:5")),
        ("[::1]:5", Target("::1", 5, "", "[::1]:5")),
        ("dns:host:5", Target("host", 5, "", "host:5")),
        ("dns:///host:5", Target("host", 5, "", "host:5")),
        ("dns://8.8.8.8/host:5", Target("host", 5, "", "host:5")),
        ("ipv4:1.2.3.4:5", Target("1.2.3.4", 5, "", "1.2.3.4:5")),
        ("ipv6:[::1]:5", Target("::1", 5, "", "[::1]:5")),
        ("unix:/a/b", Target("", 0, "/a/b", "localhost")),
        ("unix:///a/b", Target("", 0, "/a/b", "localhost")),
        ("unix:b", Target("", 0, "b", "localhost")),
    ],
)
def test_addresses_are_those_of_grpc(address: str, target: Target) -> None:
    """Each of its forms that this transport can reach."""
    assert parse(address) == target


@pytest.mark.parametrize("address", ["xds:///a", "host", "host:", "host:x", "host:99999", ""])
def test_what_cannot_be_reached_is_said_at_once(address: str) -> None:
    """And not when the first call fails."""
    with pytest.raises(ValueError, match=r"xds|host:port"):
        parse(address)


def test_a_bucket_lets_a_burst_through_and_then_its_rate() -> None:
    """It never holds more than the burst, and says how long to wait."""
    bucket = Bucket(3, 10)
    assert [bucket.take(0) for _ in range(4)] == [True, True, True, False]
    assert bucket.wait(0) == pytest.approx(0.1)
    assert not bucket.take(99 * MS)
    assert bucket.take(101 * MS)
    assert [bucket.take(100 * SECOND) for _ in range(4)] == [True, True, True, False]
    assert bucket.wait(200 * SECOND) == 0


def test_a_bucket_can_be_made_more_careful_but_never_shut() -> None:
    """Half each time, down to one."""
    bucket = Bucket(3, 10)
    bucket.halve()
    assert (bucket.burst, bucket.rate) == (1.5, 5)
    for _ in range(10):
        bucket.halve()
    assert (bucket.burst, bucket.rate) == (1, 1)
    assert bucket.take(0)

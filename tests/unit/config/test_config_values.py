"""Durations, sizes, addresses: exact, and with a unit."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dispatcher.config.addresses import (
    parse_aggregator,
    parse_callable,
    parse_host_port,
    parse_listen,
    parse_target,
)
from dispatcher.config.policy_values import FAILURES, parse_after, parse_code
from dispatcher.config.problems import Wrong
from dispatcher.config.quantities import parse_duration, parse_memory, parse_positive_duration, parse_size, show_duration
from fanmesh.model.fault import Code


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("300ms", 300_000_000),
        ("1.5s", 1_500_000_000),
        ("2m", 120_000_000_000),
        ("0.3s", 300_000_000),
        ("0.000000001s", 1),
        ("7us", 7_000),
        ("24h", 86_400_000_000_000),
        ("0", 0),
        (0, 0),
        ("0ms", 0),
    ],
)
def test_durations_are_exact_nanoseconds(text: object, ns: int) -> None:
    """Decimal digits, not floats: 0.3s is 300,000,000 ns; 0 needs no unit."""
    assert parse_duration(text) == ns


@pytest.mark.parametrize(
    "value",
    [300, 1.5, "300", "300 ms", "-1s", "1d", "s", "", "1.s", ".5s", "25h", "0.1us0", "0.0001us", True, None, [], "1e3s", "٣s"],
)
def test_other_durations_are_refused(value: object) -> None:
    """No unit, a sign, an unknown unit, more than a day, fractions of a nanosecond: refused, never guessed."""
    with pytest.raises(Wrong):
        parse_duration(value)


@pytest.mark.parametrize("value", [0, "0", "0ms"])
def test_a_timeout_of_nothing_is_refused(value: object) -> None:
    """Where time must be left, 0 is a mistake."""
    with pytest.raises(Wrong, match="leaves no time"):
        parse_positive_duration(value)


@pytest.mark.parametrize("ns", [0, 1_000, 1_500_000, 300_000_000, 1_500_000_000, 120_000_000_000])
def test_shown_durations_can_be_read_again(ns: int) -> None:
    """What messages show means what was written."""
    assert parse_duration(show_duration(ns)) == ns


@pytest.mark.parametrize(("text", "size"), [("1B", 1), ("1KiB", 1024), ("1.5MiB", 1_572_864), ("1GiB", 2**30)])
def test_sizes_are_exact_bytes(text: str, size: int) -> None:
    """Binary units, to the byte."""
    assert parse_size(text) == size


@pytest.mark.parametrize("value", [1, "1", "1MB", "1k", "0B", "0.1B", "2GiB", None, "-1B"])
def test_other_sizes_are_refused(value: object) -> None:
    """A bare number could be bytes or kilobytes; MB could be either kind."""
    with pytest.raises(Wrong):
        parse_size(value)


@pytest.mark.parametrize(("text", "size"), [("1B", 1), ("2GiB", 2**31), ("1024GiB", 2**40)])
def test_memory_is_larger_than_a_message(text: str, size: int) -> None:
    """A process may have more than one message can carry, up to a TiB."""
    assert parse_memory(text) == size


@pytest.mark.parametrize("value", [2**31, "2GB", "0B", "1025GiB", None])
def test_other_memory_is_refused(value: object) -> None:
    """No unit, nothing at all, or a slip of the unit."""
    with pytest.raises(Wrong):
        parse_memory(value)


@pytest.mark.parametrize(("name", "code"), [(code.name, code) for code in Code if code is not Code.OK])
def test_failures_are_named_as_in_grpc(name: str, code: Code) -> None:
    """Every status but OK, by its name in capitals."""
    assert parse_code(name) is code
    assert name in FAILURES


@pytest.mark.parametrize("value", ["OK", "unavailable", "Unavailable", "", 14, None, [], Code.UNAVAILABLE])
def test_other_codes_are_refused(value: object) -> None:
    """OK is no failure, and a number or another spelling is not guessed at."""
    with pytest.raises(Wrong):
        parse_code(value)


@pytest.mark.parametrize(
    ("text", "after"), [("p50", 0.5), ("p95", 0.95), ("p99.9", 0.999), ("p50.0", 0.5), ("20ms", 20_000_000), ("1us", 1_000)]
)
def test_a_hedge_waits_for_a_quantile_or_for_a_time(text: str, after: float) -> None:
    """A quantile is a float below 1, exactly as written; a time is an integer of nanoseconds."""
    assert parse_after(text) == after
    assert type(parse_after(text)) is type(after)


@pytest.mark.parametrize("value", ["p49.9", "p100", "p99.99", "p9", "p", "95", 95, 0.95, "P95", "0", 0, "", None, True, "p٣3"])
def test_other_waits_are_refused(value: object) -> None:
    """Below the median every second call would be hedged; beyond three digits there are no samples."""
    with pytest.raises(Wrong):
        parse_after(value)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("geo:50051", "dns:///geo:50051"),
        ("dns:///geo.default.svc:50051", "dns:///geo.default.svc:50051"),
        ("localhost:1", "dns:///localhost:1"),
        ("[::1]:50051", "dns:///[::1]:50051"),
        ("ipv4:127.0.0.1:50051", "ipv4:127.0.0.1:50051"),
        ("unix:/run/a.sock", "unix:/run/a.sock"),
        ("unix:///run/a.sock", "unix:/run/a.sock"),
        ("unix:a.sock", "unix:a.sock"),
        ("xds:///geo", "xds:///geo"),
        ("xds://authority/geo", "xds://authority/geo"),
    ],
)
def test_targets_get_their_scheme(written: str, meant: str) -> None:
    """A target without scheme is dns, and one spelling is left of each."""
    assert parse_target(written) == parse_target(meant) == meant


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("geo", "no port"),
        ("geo:", "not a target"),
        ("geo:http", "not a target"),
        ("geo:0", "not a port"),
        ("geo:65536", "not a port"),
        ("geo:123456", "123456 is not a port"),
        ("geo:٣", "not a target"),
        ("dns:geo:1", "not a target"),
        ("dns://8.8.8.8/geo:1", "not a target"),
        ("https://geo:1", "not a target"),
        ("ipv4:geo:1", "not an IPv4 address"),
        ("ipv4:1.2.3.4:1,1.2.3.5:1", "several addresses"),
        ("unix:", "no path"),
        ("xds:", "not a target"),
        ("xds:///", "not a target"),
        ("xds:///a b", "not a target"),
        ("ge o:1", "not a host"),
        ("[geo]:1", "not a host"),
        (":1", "no host"),
        ("", "no port"),
        (3, "not a target"),
    ],
)
def test_other_targets_are_refused(value: object, why: str) -> None:
    """What gRPC would only fail on at the first call is refused at load, saying why."""
    with pytest.raises(Wrong, match=why):
        parse_target(value)


@pytest.mark.parametrize(
    ("parser", "value"),
    [
        (parse_listen, "127.0.0.1:0"),
        (parse_listen, "unix:/run/f.sock"),
        (parse_host_port, "geo:1"),
        (parse_aggregator, "embedded"),
        (parse_callable, "sample_workers.enrichment.phone:phone"),
    ],
)
def test_addresses_and_names_are_kept(parser: Callable[[object], str], value: str) -> None:
    """Port 0 is an address to listen on; the rest is taken as written."""
    assert parser(value) == value


@pytest.mark.parametrize(
    ("parser", "value"),
    [
        (parse_host_port, "geo:0"),
        (parse_host_port, 1),
        (parse_aggregator, "embeded"),
        (parse_callable, "a.b"),
        (parse_callable, "a:b()"),
    ],
)
def test_other_addresses_and_names_are_refused(parser: Callable[[object], str], value: object) -> None:
    """Port 0 is no place to connect to, and a name is not code."""
    with pytest.raises(Wrong):
        parser(value)

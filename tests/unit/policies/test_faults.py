"""Faults on purpose: how often, which, who may ask for them, and that a run can be repeated."""

from __future__ import annotations

import pytest

from dispatcher.model.policy import FaultRule
from dispatcher.policies.faults import NOTHING, Injection, draw, inject
from fanmesh.model.fault import Code
from fanmesh.model.times import MS

BOTH = FaultRule(delay_share=0.5, delay=20 * MS, abort_share=0.25, abort_code=Code.INTERNAL)
ASKED = FaultRule(delay_share=0.5, delay=20 * MS, abort_share=0.25, abort_code=Code.INTERNAL, headers=True)
ON_REQUEST = FaultRule(delay_share=1.0, abort_share=1.0, abort_code=Code.OK, headers=True)


@pytest.mark.parametrize(
    ("u", "v", "injection"),
    [
        (0.0, 0.0, Injection(20 * MS, Code.INTERNAL)),
        (0.49, 0.25, Injection(20 * MS, None)),
        (0.5, 0.24, Injection(0, Code.INTERNAL)),
        (0.5, 0.25, NOTHING),
    ],
)
def test_each_fault_comes_as_often_as_its_share(u: float, v: float, injection: Injection) -> None:
    """The delay by the first number and the abort by the second, below the share and not at it; also both."""
    assert inject(BOTH, (), u, v) == injection


def test_a_rule_without_shares_does_nothing() -> None:
    """Also where a code and a delay are given, and to the smallest numbers."""
    assert inject(FaultRule(delay=MS, headers=True), {"fanmesh-fault-delay-ms": "7"}, 0.0, 0.0) == NOTHING


@pytest.mark.parametrize("as_mapping", [True, False])
@pytest.mark.parametrize(
    ("headers", "injection"),
    [
        ([], Injection(20 * MS, Code.INTERNAL)),
        ([("other", "1")], Injection(20 * MS, Code.INTERNAL)),
        ([("fanmesh-fault-delay-ms", "7")], Injection(7 * MS, Code.INTERNAL)),
        ([("fanmesh-fault-delay-ms", "0")], Injection(0, Code.INTERNAL)),
        ([("fanmesh-fault-delay-ms", "999999999")], Injection(999_999_999 * MS, Code.INTERNAL)),
        ([("fanmesh-fault-abort-code", "NOT_FOUND")], Injection(20 * MS, Code.NOT_FOUND)),
        ([("fanmesh-fault-abort-code", "data_loss")], Injection(20 * MS, Code.DATA_LOSS)),
        ([("fanmesh-fault-abort-code", "14")], Injection(20 * MS, Code.UNAVAILABLE)),
        ([("fanmesh-fault-abort-code", "0")], Injection(20 * MS, None)),
        ([("fanmesh-fault-abort-code", "OK")], Injection(20 * MS, None)),
        ([("fanmesh-fault-delay-ms", "7"), ("fanmesh-fault-abort-code", "5")], Injection(7 * MS, Code.NOT_FOUND)),
    ],
)
def test_a_caller_may_say_which(*, headers: list[tuple[str, str]], injection: Injection, as_mapping: bool) -> None:
    """If the rule lets it: a header replaces the rule's delay or code for its request; without one the rule's own hold."""
    assert inject(ASKED, dict(headers) if as_mapping else headers, 0.0, 0.0) == injection


def test_the_first_of_two_headers_counts() -> None:
    """What a proxy adds behind the caller's own changes nothing."""
    assert inject(ASKED, (("fanmesh-fault-delay-ms", "7"), ("fanmesh-fault-delay-ms", "9")), 0.0, 0.9).delay == 7 * MS


@pytest.mark.parametrize("value", ["", " ", "-1", "+5", "1.5", "1_0", " 7", "7ms", "1000000000", "٣", "²", "x"])
def test_a_delay_that_cannot_be_read_is_ignored(value: str) -> None:
    """The rule's own holds: up to nine ASCII digits, and nothing else."""
    assert inject(ASKED, {"fanmesh-fault-delay-ms": value}, 0.0, 0.9) == Injection(20 * MS, None)


@pytest.mark.parametrize("value", ["", "17", "-1", "UNAVAILABLE ", "OOPS", "1.0", "²"])
def test_a_code_that_cannot_be_read_is_ignored(value: str) -> None:
    """The rule's own holds, and the request does not fail in a way that nobody configured."""
    assert inject(ASKED, {"fanmesh-fault-abort-code": value}, 0.9, 0.0) == Injection(0, Code.INTERNAL)


def test_a_caller_gets_no_more_than_the_shares() -> None:
    """What it asks for comes as often as the rule says, as in Envoy: a header is no way to stop a service."""
    headers = {"fanmesh-fault-delay-ms": "7", "fanmesh-fault-abort-code": "5"}
    assert inject(ASKED, headers, 0.5, 0.25) == NOTHING
    assert inject(ASKED, headers, 0.49, 0.25) == Injection(7 * MS, None)


def test_without_leave_a_header_does_nothing() -> None:
    """The rule's own fault, whatever is asked for."""
    headers = {"fanmesh-fault-delay-ms": "7", "fanmesh-fault-abort-code": "5"}
    assert inject(BOTH, headers, 0.0, 0.0) == Injection(20 * MS, Code.INTERNAL)


def test_faults_can_be_for_those_who_ask_only() -> None:
    """A rule with no delay and the code OK harms no request without a header."""
    assert inject(ON_REQUEST, (), 0.0, 0.0) == NOTHING
    assert inject(ON_REQUEST, {"fanmesh-fault-abort-code": "14"}, 0.0, 0.0) == Injection(0, Code.UNAVAILABLE)
    assert inject(ON_REQUEST, {"fanmesh-fault-delay-ms": "7"}, 0.0, 0.0) == Injection(7 * MS, None)


@pytest.mark.parametrize(
    ("seed", "counter", "pair"), [(0, 0, (0.652448, 0.30117)), (0, 1, (0.701212, 0.954122)), (7, 0, (0.721508, 0.494809))]
)
def test_the_numbers_are_the_same_in_every_run(seed: int, counter: int, pair: tuple[float, float]) -> None:
    """Fixed values: a recorded run can be repeated years later, on any machine."""
    assert draw(FaultRule(seed=seed), counter) == pytest.approx(pair, abs=1e-6)


@pytest.mark.parametrize("seed", [0, 1, 2, -1, 1 << 70])
def test_the_numbers_are_spread_evenly(seed: int) -> None:
    """Of 10,000 counters a tenth of each number falls into each tenth, and a hundredth of the pairs into each hundredth."""
    cells: dict[tuple[int, int], int] = {}
    for counter in range(10_000):
        u, v = draw(FaultRule(seed=seed), counter)
        assert 0 <= u < 1
        assert 0 <= v < 1
        cell = int(u * 10), int(v * 10)
        cells[cell] = cells.get(cell, 0) + 1
    assert len(cells) == 100
    assert all(55 < count < 150 for count in cells.values())


def test_another_seed_is_another_run() -> None:
    """Neighbouring seeds do not give each other's numbers, neither at the same counter nor shifted."""
    a, b = ({draw(FaultRule(seed=seed), counter) for counter in range(1000)} for seed in (1, 2))
    assert not a & b

"""What a driver saw of a case, and how it is held against what the case expects."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from dispatcher.policies.books import WorkerBook
from fanmesh.model.fault import Code
from fanmesh.model.report import BranchReport
from fanmesh.model.values import Value
from tests.conformance.casebook import fate, ns
from tests.conformance.policies.casebook import PolicyCase

LINE = re.compile(r"(?:#(\d+) )?(first|retry|hedge|probe) on (\d+) at (\d+(?:\.\d+)?)t(?: until (\d+(?:\.\d+)?)t)?: (\w+)")
"""An attempt as a case says it."""


class SeenAttempt(NamedTuple):
    """An attempt as a driver saw it; times in ns since the request's arrival, None = not known."""

    number: int
    kind: str
    endpoint: int
    at: int | None
    until: int | None
    word: str


class SeenRequest(NamedTuple):
    """How a request ended. `ends`: ns since its arrival."""

    state: str
    code: str
    value: Value
    ends: int | None
    attempts: list[SeenAttempt]
    decisions: list[str]


class Seen(NamedTuple):
    """What a driver saw of a case. `told`: endpoint, kind and previous attempts, as each call's metadata said."""

    requests: list[SeenRequest]
    breakers: list[str]
    calls: list[int]
    cancels: list[int]
    counts: dict[str, int]
    told: list[tuple[int, str, str]] | None = None


def seen_in(row: BranchReport, value: Value, ends: int | None, addresses: list[str]) -> SeenRequest:
    """The row of a report."""
    attempts = [
        SeenAttempt(
            one.number,
            one.kind.name.lower(),
            addresses.index(one.endpoint),
            one.started_after,
            one.started_after + one.elapsed,
            "won" if one.won else "cancelled" if one.cancelled else Code(one.code).name,
        )
        for one in row.attempts
    ]
    state = fate(row.state.name, row.reason.name)
    return SeenRequest(state, Code(row.code).name, value, ends, attempts, [f"{one.what} {one.why}" for one in row.decisions])


def of_book(book: WorkerBook, addresses: list[str]) -> tuple[list[str], dict[str, int]]:
    """The states of the breakers, and what was counted; AssertionError if a permit was not given back."""
    assert not book.queue.running
    assert not len(book.queue)
    known = [book.endpoint(address) for address in addresses]
    assert [one.in_flight.count for one in known] == [0] * len(known), "permits are not given back"
    return [one.breaker.state.value for one in known], {f"{what} {why}".strip(): n for (what, why), n in book.counts.items()}


# ---------------------------------------------------------------- holding it against the case


def attempt_of(index: int, line: str, tick: int) -> SeenAttempt:
    """An attempt as the case says it."""
    found = LINE.fullmatch(line)
    assert found is not None, f"this is no attempt: {line}"
    number, kind, endpoint, at, until, word = found.groups()
    last = None if until is None else round(float(until) * tick)
    return SeenAttempt(int(number or index), kind, int(endpoint), round(float(at) * tick), last, word)


def check(case: PolicyCase, seen: Seen, tick: int, *, exact: bool) -> None:
    """Hold what was seen against what the case expects. `exact`: times, too; otherwise only what came, and in which order."""
    assert len(seen.requests) == len(case.requests)
    said = [
        _check_request(dict(asked.expect), got, tick, exact=exact)
        for asked, got in zip(case.requests, seen.requests, strict=True)
    ]
    every = [one for attempts in said for one in attempts]
    after = dict(case.after)
    places = range(len(case.endpoints))
    reached = [one for one in every if case.away(one.endpoint) is None]
    if seen.told is not None:
        assert sorted(seen.told) == sorted(_metadata(case, said))
    assert seen.calls == after.pop("calls", [sum(one.endpoint == place for one in reached) for place in places])
    cut = [one for one in reached if one.word == "cancelled"]
    assert seen.cancels == after.pop("cancels", [sum(one.endpoint == place for one in cut) for place in places])
    assert seen.breakers == after.pop("breakers", seen.breakers)
    for what, count in after.pop("counts", {}).items():
        assert (what, seen.counts.get(what, 0)) == (what, count), seen.counts
    assert not after, f"the case expects what nobody checks: {after}"


def _metadata(case: PolicyCase, said: list[list[SeenAttempt]]) -> list[tuple[int, str, str]]:
    """What the calls tell their endpoints: grpc-previous-rpc-attempts (gRPC A6: absent on the first), and why they are made."""
    out = []
    for asked, attempts in zip(case.requests, said, strict=True):
        made = [one for one in attempts if case.away(one.endpoint) is None]
        for one in made:
            kind = asked.inherited.name.lower() if one.kind == "first" else one.kind
            out.append((one.endpoint, kind, str(attempts.index(one)) if attempts.index(one) else ""))
    return out


def _in_order(said: list[SeenAttempt], got: list[SeenAttempt], tick: int) -> None:
    """What is a tick apart in the case came in that order: starts, and the ends that the case names."""
    marks = [(one.at, real.at) for one, real in zip(said, got, strict=True)]
    marks += [(one.until, real.until) for one, real in zip(said, got, strict=True) if one.until is not None]
    for expected, real in marks:
        for later, really in marks:
            if expected is not None and later is not None and later - expected >= tick:
                assert (real or 0) < (really or 0), (said, got)


def _check_request(expect: dict[str, Any], got: SeenRequest, tick: int, *, exact: bool) -> list[SeenAttempt]:
    """One request; returns the attempts that the case names."""
    said = [attempt_of(index, line, tick) for index, line in enumerate(expect.pop("attempts"))]
    seen = [
        one._replace(
            at=one.at if exact and index < len(said) else None,
            until=one.until if exact and index < len(said) and said[index].until is not None else None,
        )
        for index, one in enumerate(got.attempts)
    ]
    assert seen == [one if exact else one._replace(at=None, until=None) for one in said], got
    if not exact:
        _in_order(said, got.attempts, tick)
    state = expect.pop("state", "SUCCEEDED")
    assert (got.state, got.code) == (state, expect.pop("code", "OK")), got
    if state == "SUCCEEDED":
        assert got.value == expect.pop("value"), got
    ends = expect.pop("ends")
    if exact:
        assert got.ends == ns(ends, tick), got
    assert got.decisions == expect.pop("decisions", got.decisions), got
    assert not expect, f"the case expects what nobody checks: {expect}"
    return said

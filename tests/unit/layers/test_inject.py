"""Faults on purpose: what an attempt sees of them, on virtual time."""

from __future__ import annotations

import asyncio

import pytest

from dispatcher.flow.sink import NoSink
from dispatcher.layers.inject import faults
from dispatcher.layers.types import Attempt, BranchRun, Sink
from dispatcher.model.plan import Node, Plan, Worker
from dispatcher.model.policy import FaultRule
from dispatcher.policies.books import Books
from fanmesh.model.fault import Code, Fault, FaultKind
from fanmesh.model.outcome import Outcome, Success
from fanmesh.testing import ms, run_virtual
from fanmesh.testing.scripts import virtual_sleep
from tests.kit.story import attempt_of, request_of

OK = Success(1)


def attempt(rule: FaultRule | None, asked: tuple[tuple[str, str], ...] = ()) -> Attempt:
    """An attempt that has 100 ms, at a worker with these faults; `asked`: by the caller's metadata."""
    request = request_of()
    request.faults = asked
    node = Node("a", Worker("w", faults=rule))
    run = BranchRun(request, Plan("p", (node,)), node, 0, ms(100), lambda *_: None)
    return attempt_of(run)


def injected(one: Attempt, books: Books) -> tuple[Outcome, int, int]:
    """Outcome, ms that passed, calls that were made."""
    calls = 0

    async def leaf(_attempt: Attempt, _sink: Sink) -> Outcome:
        nonlocal calls
        calls += 1
        return OK

    async def main() -> tuple[Outcome, int]:
        loop = asyncio.get_running_loop()
        layer = faults(books, now=lambda: loop.now, sleep=virtual_sleep)  # type: ignore[attr-defined]
        outcome = await layer(leaf)(one, NoSink())
        return outcome, loop.now // ms(1)  # type: ignore[attr-defined]

    outcome, passed = run_virtual(main())
    return outcome, passed, calls


def test_without_faults() -> None:
    """A worker that has none is called, and its book is not opened."""
    books = Books()
    assert injected(attempt(None), books) == (OK, 0, 1)
    assert books.workers == {}


@pytest.mark.parametrize(
    ("rule", "ends", "passed", "calls", "counts"),
    [
        (FaultRule(delay_share=1.0, delay=ms(30)), "OK", 30, 1, {("fault", "delay"): 1}),
        (FaultRule(delay_share=1.0, delay=ms(99)), "OK", 99, 1, {("fault", "delay"): 1}),
        (FaultRule(delay_share=1.0, delay=ms(100)), "local_timeout", 100, 0, {("fault", "delay"): 1}),
        (FaultRule(delay_share=1.0, delay=ms(900)), "local_timeout", 100, 0, {("fault", "delay"): 1}),
        (FaultRule(abort_share=1.0), "worker_error", 0, 0, {("fault", "abort"): 1}),
        (
            FaultRule(delay_share=1.0, delay=ms(30), abort_share=1.0),
            "worker_error",
            30,
            0,
            {("fault", "delay"): 1, ("fault", "abort"): 1},
        ),
        (FaultRule(), "OK", 0, 1, {}),
    ],
)
def test_what_an_attempt_sees(rule: FaultRule, ends: str, passed: int, calls: int, counts: dict[tuple[str, str], int]) -> None:
    """A delay, an error, or one after the other; at the attempt's own deadline it ends as a slow network's would."""
    books = Books()
    outcome, when, made = injected(attempt(rule), books)
    assert ("OK" if outcome == OK else outcome.kind.value if isinstance(outcome, Fault) else "?") == ends
    assert (when, made, books.of("w").counts, books.of("w").injected) == (passed, calls, counts, 1)


@pytest.mark.parametrize(("code", "retryable"), [(Code.UNAVAILABLE, True), (Code.INTERNAL, False)])
def test_an_error(code: Code, retryable: bool) -> None:  # noqa: FBT001  (a table)
    """It looks like the worker's: as if it had been sent, with its code."""
    outcome, _, _ = injected(attempt(FaultRule(abort_share=1.0, abort_code=code)), Books())
    assert isinstance(outcome, Fault)
    assert (outcome.kind, outcome.code, outcome.sent, outcome.retryable) == (FaultKind.WORKER_ERROR, code, True, retryable)


def test_a_caller_may_ask() -> None:
    """By metadata, where the worker's rule allows it."""
    asked = (("fanmesh-fault-delay-ms", "40"), ("fanmesh-fault-abort-code", "INTERNAL"))
    rule = FaultRule(delay_share=1.0, abort_share=1.0, abort_code=Code.OK, headers=True)
    outcome, passed, _ = injected(attempt(rule, asked), Books())
    assert isinstance(outcome, Fault)
    assert (outcome.code, passed) == (Code.INTERNAL, 40)
    assert injected(attempt(rule), Books()) == (OK, 0, 1)


def test_the_same_in_every_run() -> None:
    """Drawn from the seed and the number of the attempt: two runs agree, and about half of the attempts fail."""
    rule = FaultRule(abort_share=0.5, seed=7)

    def run() -> list[bool]:
        books = Books()
        return [injected(attempt(rule), books)[0] == OK for _ in range(60)]

    first = run()
    assert run() == first
    assert 15 < sum(first) < 45

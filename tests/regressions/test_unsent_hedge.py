"""A hedge that was launched and never left, because the first attempt answered in that turn, was paid for."""

from __future__ import annotations

import asyncio

from dispatcher.layers.types import Attempt, Sink
from fanmesh.model.outcome import Outcome, Success
from fanmesh.testing import ms, run_virtual
from tests.unit.layers.test_race import POLICY, Bench, hangs


def test_what_a_hedge_that_never_left_has_paid_is_given_back() -> None:
    """Its task is cancelled before its first step: no call was made, and neither budget nor allowance has given anything."""

    async def main() -> None:
        answered = asyncio.Event()

        async def first(_attempt: Attempt, _sink: Sink) -> Outcome:
            await answered.wait()
            return Success("first")

        bench = Bench(first, hangs)

        def at_once() -> None:
            answered.set()
            assert bench.run.woken is not None
            bench.run.woken()

        asyncio.get_running_loop().call_at(0.02, at_once)
        assert await bench.branch() == Success("first")
        book = bench.books.of("w")
        assert [attempt.number for attempt in bench.made] == [0]
        assert book.hedges.tokens == 1.0
        assert POLICY.retry is not None
        assert book.budget.remaining_ratio(POLICY.retry.budget, ms(20)) == 1.0
        assert not bench.run.notes

    run_virtual(main())

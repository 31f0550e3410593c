"""Five things that a hedging client can get wrong, each put to hedge-python and to a dispatcher, side by side.

    python -m bench.payoff.defects [-o json]

The first three were found in hedge-python 0.3.0 by running it, the others by reading it. What counts is what the replicas saw;
the exit code is 1 if the dispatcher shows one of them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import uvloop

from bench.payoff import configs
from bench.payoff.measuring import progress
from bench.payoff.subjects import REST_S, Script, Subject, ours, rival, until


class Observation(NamedTuple):
    """What was seen, and whether it is the defect."""

    text: str
    defect: bool


async def failing_primary(subject: Subject) -> Observation:
    """A first attempt that fails while a healthy hedge is under way must not end the request."""
    await subject.warm(60)
    script: Script = [{"ms": 60, "fail": True}, {"ms": 120}]
    codes = Counter([(await subject.outcome(script))[1] for _ in range(10)])
    return Observation("outcome " + ", ".join(f"{code} {count}×" for code, count in codes.items()), codes["OK"] < 10)


async def cancelled_caller(subject: Subject) -> Observation:
    """Who cancels a request cancels every attempt of it."""
    await subject.warm(60)
    number, call = subject.start([{"ms": 3000}])
    await until(lambda: len(subject.seen(number)) > 1)
    call.cancel()

    def ended() -> int:
        return sum(one.ended == "cancelled" for one in subject.seen(number))

    attempts = len(subject.seen(number))
    took = await until(lambda: ended() == attempts)
    after = f", after at most {took:.0f} ms" if ended() == attempts else " within a second"
    return Observation(f"cancels seen by replicas {ended()}/{attempts}{after}", attempts < 2 or ended() < attempts)


async def budget_at_low_rate(subject: Subject) -> Observation:
    """The share of hedges is one of the requests that are made, also if they are five a second."""
    await subject.warm(60)
    before = subject.extra()
    async with asyncio.TaskGroup() as group:
        for _ in range(25):
            group.create_task(subject.outcome([{"ms": 60}, {"ms": 5}]))
            await asyncio.sleep(0.2)
    total = subject.extra()
    text = f"{total - before} of 25 slow requests hedged at 5/s; promised are {subject.cap:.0%}"
    return Observation(text, total > subject.cap * subject.requests + 1)


async def poisoned_estimate(subject: Subject) -> Observation:
    """The delay comes from what attempts take, not from what hedged requests take: every fifth attempt takes 100 ms here."""
    for turn in range(200):
        await subject.outcome([{"ms": 100}, {"ms": 5}] if turn % 5 == 0 else [{"ms": 5}])
    await asyncio.sleep(REST_S)
    number, _ = await subject.outcome([{"ms": 400}, {"ms": 5}])
    seen = subject.seen(number)
    if len(seen) < 2:
        return Observation("no hedge within 400 ms; p90 of its attempts is 100 ms", defect=False)
    delay = seen[1].began - seen[0].began
    return Observation(f"hedges after {delay:.0f} ms, as p90; p90 of its attempts is 100 ms", delay < 80)


async def same_endpoint(subject: Subject) -> Observation:
    """A hedge goes to another endpoint: that the first one is slow is why it is made."""
    await subject.warm(60)
    draw = random.Random(5)  # noqa: S311  (a bench, not a secret)
    async with asyncio.TaskGroup() as group:
        tasks = []
        for _ in range(20):
            tasks.append(group.create_task(subject.outcome([{"ms": 60}, {"ms": 5}])))
            await asyncio.sleep(draw.expovariate(1 / 0.02))
    pairs = [seen for task in tasks if len(seen := subject.seen(task.result()[0])) > 1]
    same = sum(seen[0].replica == seen[1].replica for seen in pairs)
    return Observation(f"{same} of {len(pairs)} hedges at the endpoint of the first attempt", same > 0 or not pairs)


Question = Callable[[Subject], Awaitable[Observation]]
QUESTIONS: dict[str, tuple[Question, str]] = {
    "a failing first attempt beats a healthy hedge": (failing_primary, "willing"),
    "a caller's cancel does not reach the attempts": (cancelled_caller, "willing"),
    "the hedge budget does not hold at 5 requests/s": (budget_at_low_rate, "capped"),
    "the estimator sees hedged totals": (poisoned_estimate, "willing"),
    "a hedge goes to the same endpoint": (same_endpoint, "willing"),
}


async def _of_rival(question: Question) -> Observation:
    async with rival() as subject:
        found = await question(subject)
    if question is not same_endpoint:
        return found
    async with rival(spread=True) as subject:
        spread = await question(subject)
    return Observation(f"{found.text}; {spread.text.partition(' hedges')[0]} with round robin", found.defect or spread.defect)


async def _of_ours(question: Question, policy: str) -> Observation | None:
    if not configs.known(policy):
        return None
    async with ours(policy) as subject:
        return await question(subject)


async def _of_both(name: str) -> dict[str, Observation | None]:
    question, policy = QUESTIONS[name]
    theirs, own = await asyncio.gather(_of_rival(question), _of_ours(question, policy))
    both = {"hedge-python": theirs, "fanmesh": own}
    progress(name)
    for who, one in both.items():
        verdict = "cannot hedge" if one is None else f"{'DEFECT' if one.defect else 'ok':6}  {one.text}"
        progress(f"    {who:13} {verdict}")
    return both


async def observe() -> dict[str, dict[str, Observation | None]]:
    """What each showed, by defect; None where this version cannot hedge. One that mostly waits is put beside the rest."""
    waits = next(name for name, (question, _) in QUESTIONS.items() if question is budget_at_low_rate)

    async def rest() -> dict[str, dict[str, Observation | None]]:
        return {name: await _of_both(name) for name in QUESTIONS if name != waits}

    waited, others = await asyncio.gather(_of_both(waits), rest())
    found = {**others, waits: waited}
    return {name: found[name] for name in QUESTIONS}


def run() -> dict[str, dict[str, dict[str, str | bool] | None]]:
    """The same, as JSON takes it."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(observe())
    return {name: {who: one and one._asdict() for who, one in both.items()} for name, both in found.items()}


def shown_by(found: dict[str, dict[str, dict[str, str | bool] | None]], who: str) -> int | None:
    """How many defects `who` shows; None if one of them could not be looked for."""
    theirs = [both[who] for both in found.values()]
    return None if None in theirs else sum(bool(one["defect"]) for one in theirs if one is not None)


def main() -> int:
    """Ask both; 1 if the dispatcher shows a defect."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")
    asked = parser.parse_args()
    found = run()
    if asked.output == "json":
        print(json.dumps(found, indent=1))
    return int(shown_by(found, "fanmesh") != 0)


if __name__ == "__main__":
    sys.exit(main())

"""Is the fusion worth it? Every engine alone and all of them fused, on questions whose right answer is known.

    python -m sample_workers.search.evaluate [--choose] [-o json]

All answers come from real processes through a dispatcher. `k0` and the weights of the plan were chosen with `--choose`, which
looks at one half of the questions; without it the other half is asked. The exit code is 0 if the fusion is at least as good as
the best engine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from fanmesh.client import AsyncClient
from sample_workers.search import corpus
from sample_workers.search.measures import compare, fuse, reciprocal_rank
from sample_workers.search.questions import KnownItem, halves
from sample_workers.search.running import ENGINES, running

AT_ONCE: Final = 8
"""Questions in flight."""
PATIENT: Final = "30s"
"""Time limit of a question: what is measured here is what engines find, and not how fast this machine is."""
DEEP: Final = 50
"""Hits of each engine that are fused: what the workers answer unless they are asked for fewer."""
K0S: Final = (5, 10, 20, 60)
WEIGHTS: Final = (1.0, 1.5, 2.0)

Ranking = dict[str, list[str]]


async def ask_all(client: AsyncClient, questions: Sequence[KnownItem]) -> list[Ranking]:
    """For each question the best ten of the plan `federated`, and what each engine says for itself."""
    free = asyncio.Semaphore(AT_ONCE)

    async def ask(question: KnownItem) -> Ranking:
        data = {"q": question.q, "k": DEEP}
        async with free:
            fused, apart = await asyncio.gather(client.dispatch("federated", data), client.dispatch("compare", data))
        if not (fused.report.complete and apart.report.complete):
            raise RuntimeError(f"{question.q!r}: {fused.report.missing or apart.report.missing} did not answer")
        engines = {name: [hit["id"] for hit in apart.value[name]["hits"]] for name in ENGINES}
        return {**engines, "fused": [item["key"] for item in fused.value]}

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(ask(question)) for question in questions]
    return [task.result() for task in tasks]


async def rankings(questions: Sequence[KnownItem]) -> list[Ranking]:
    """The same, with processes of their own."""
    with tempfile.TemporaryDirectory(prefix="fanmesh-search-") as directory:
        async with running(Path(directory), ENGINES, PATIENT) as system:
            return await ask_all(system.client, questions)


def judge(found: Sequence[Ranking], questions: Sequence[KnownItem]) -> dict[str, Any]:
    """MRR@10 of all, and the fusion beside the best engine."""
    ranks = {
        name: [reciprocal_rank(one[name], question.id) for one, question in zip(found, questions, strict=True)]
        for name in (*ENGINES, "fused")
    }
    mrr = {name: round(fmean(each), 4) for name, each in ranks.items()}
    best = max(ENGINES, key=lambda name: mrr[name])
    return {
        "questions": len(questions),
        "mrr@10": mrr,
        "best": best,
        "fused_against_best": compare(ranks["fused"], ranks[best]),
    }


def choose(found: Sequence[Ranking], questions: Sequence[KnownItem]) -> list[tuple[float, int, dict[str, float]]]:
    """MRR@10 for every `k0` and weights on the grid, best first; no two weights that mean the same."""
    tried = []
    engines = [{name: one[name] for name in ENGINES} for one in found]
    for k0, given in product(K0S, product(WEIGHTS, repeat=len(ENGINES))):
        if min(given) == WEIGHTS[0]:
            weights = dict(zip(ENGINES, given, strict=True))
            fused = [fuse(one, k0, weights) for one in engines]
            mrr = fmean(reciprocal_rank(ranked, question.id) for ranked, question in zip(fused, questions, strict=True))
            tried.append((round(mrr, 4), k0, weights))
    return sorted(tried, key=lambda one: -one[0])


def told(figures: dict[str, Any]) -> str:
    """For people."""
    against = figures["fused_against_best"]
    lines = [f"{figures['questions']} questions of laypeople, {corpus.release(corpus.source())}", f"{'':10} MRR@10"]
    lines += [f"{name:10} {mrr:.4f}" for name, mrr in figures["mrr@10"].items()]
    lines += [
        f"fused − {figures['best']}: {against.difference:+.4f}, in 95 % of samples {against.low:+.4f} to {against.high:+.4f}",
        f"better on {against.better} questions, worse on {against.worse}, equal on {against.equal}",
    ]
    return "\n".join(lines)


def main() -> int:
    """Ask, judge, say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--choose", action="store_true", help="try k0 and weights on the half that they are chosen on")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")
    asked = parser.parse_args()
    both = halves(corpus.read())
    questions = both.chosen_on if asked.choose else both.judged_on
    found = asyncio.run(rankings(questions))
    figures = judge(found, questions)
    if asked.output == "json":
        print(json.dumps({**figures, "fused_against_best": figures["fused_against_best"]._asdict()}, indent=1))
    else:
        print(told(figures))
    if asked.choose:
        for mrr, k0, weights in choose(found, questions)[:10]:
            print(f"{mrr:.4f}  k0 {k0:2}  {weights}", file=sys.stderr)
    return int(figures["fused_against_best"].difference < 0)


if __name__ == "__main__":
    sys.exit(main())

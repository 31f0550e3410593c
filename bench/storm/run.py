"""A retry storm through three layers of callers: attempts a request beside naive retries, and how long until it is over.

    python -m bench.storm.run [-o json]

Half a minute, on virtual time: the figures are the same in every run. The exit code is 0 if every claim holds.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from bench.kit.results import write
from bench.payoff.claims import Claim
from bench.storm import told
from bench.storm.draw import draw
from bench.storm.scenarios import STORMS, cap, measure


def claims(figures: dict[str, Any]) -> list[Claim]:
    """What is promised."""
    found: list[Claim] = []
    for name, variants in figures.items():
        ours, naive = variants["Fanmesh"], variants["naive"]
        requests = ours["requests"]
        found.append(Claim(f"{name}: naive attempts a request", naive["attempts_per_request"], 20.0, least=True))
        for variant, layers in (("Fanmesh", 1), ("budgets, pushback", 1), ("budgets only", 3)):
            most = cap(requests, STORMS[name], layers) / requests
            found.append(Claim(f"{name}: attempts a request, {variant}", variants[variant]["attempts_per_request"], most))
        if ours["recovery_s"] is not None:
            found.append(Claim(f"{name}: s until answers are back, Fanmesh", ours["recovery_s"], 2.0))
    return found


def main() -> int:
    """Measure, keep, draw, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")
    asked = parser.parse_args()
    figures = measure()
    write("storm", figures)
    draw(figures)
    told.insert(figures)
    promised = claims(figures)
    if asked.output == "json":
        print(json.dumps({**figures, "claims": [{**claim._asdict(), "holds": claim.holds} for claim in promised]}, indent=1))
    else:
        print("\n".join(told.lines(figures)))
        for claim in promised:
            print(claim)
    return int(not all(claim.holds for claim in promised))


if __name__ == "__main__":
    sys.exit(main())

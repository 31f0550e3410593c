"""Everything that `make bench` measures, in about a quarter of an hour: `python -m bench.run_all`."""

from __future__ import annotations

from bench import tables
from bench.fanout import run as fanout
from bench.micro import run as micro
from bench.payoff import run as payoff
from bench.storm import run as storm


def main() -> None:
    """Small things first: they tell within seconds whether something is broken."""
    micro.main()
    fanout.main()
    storm.main()
    payoff.main()  # says which claims were missed; here, as everywhere in this file, a busy machine is not a defect
    tables.main()


if __name__ == "__main__":
    main()

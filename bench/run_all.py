"""Everything that `make bench` measures, in about six minutes: `python -m bench.run_all`."""

from __future__ import annotations

from bench import tables
from bench.fanout import run as fanout
from bench.micro import run as micro


def main() -> None:
    """Small things first: they tell within seconds whether something is broken."""
    micro.main()
    fanout.main()
    tables.main()


if __name__ == "__main__":
    main()

"""The subject: a real dispatcher process over the same worker.

All branches call one worker over one channel, as the floor does: what differs is the engine, not the number of connections.

Arguments: the worker's port, the number of branches, the aggregator (`embedded` or its port), the policies: `none`, `standard`
(retries, a breaker, two choices) or `all` (hedges, limits and a rate besides; nothing fails, so none of them ever acts).
"""

import asyncio
import sys
from typing import Final

import uvloop

from bench.kit.plans import EVERYTHING
from bench.kit.stdin_closed import stdin_closed
from dispatcher.app import Dispatcher
from dispatcher.assembly import MERGES
from dispatcher.config import load_mapping
from dispatcher.settings import Settings
from fanmesh.runtime import heap, logs

PROTECTED: Final = {
    "none": {"policy": "none"},
    "standard": {"policy": "standard"},
    "all": {"policy": "hedged", "limit": EVERYTHING},
}


async def main() -> None:
    """Serve on a free port until stdin closes."""
    worker, branches, aggregator, policies = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
    names = [f"b{i}" for i in range(branches)]
    config = load_mapping(
        {
            "version": 1,
            "workers": {"far": {"target": f"127.0.0.1:{worker}", "effect": "read", **PROTECTED[policies]}},
            "plans": {
                "bench": {
                    "budget": {"latency": "1500ms"},
                    "merge_reserve": "300ms",  # so that a remote aggregator on a machine under full load is not given up
                    "branches": {name: {"worker": "far"} for name in names},
                }
            },
            "server": {
                "listen": "127.0.0.1:0",
                "metrics": None,
                "aggregator": aggregator if aggregator == "embedded" else f"127.0.0.1:{aggregator}",
            },
        },
        MERGES,
    )
    dispatcher = Dispatcher(config, Settings())
    await dispatcher.start()
    heap.settle()
    print(dispatcher.port, flush=True)
    await stdin_closed()
    await dispatcher.stop()


if __name__ == "__main__":
    logs.configure()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())

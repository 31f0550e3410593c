"""How long to wait before another attempt: our own patience, and what a worker asks for.

Full jitter, from zero up to the bound: callers that failed together must not come back together, and a band of ±20 % (gRPC A6)
keeps them in step. A worker's pushback is jittered upwards only, because it has said when it will be ready. Both are ns.
"""

from __future__ import annotations

from math import pow as power  # of floats: the built-in one would compute a million bits for whole multipliers
from typing import Final

from dispatcher.model.policy import Backoff
from fanmesh.model.times import MS

PUSHBACK_MOST: Final = 300_000
"""ms. What asks for more waits this long. Source: Envoy and Linkerd have the same cap; Linkerd's is a clamp, as here."""


def backoff(rule: Backoff, failures: int, u: float) -> int:
    """The wait after so many failures in a row, ≥ 1: u · min(initial · multiplier^(failures − 1), maximum), u in [0, 1).

    A pushback starts the row anew (gRPC A6). Always below `maximum`; any number of failures is in order.
    """
    try:
        bound = min(rule.initial * power(rule.multiplier, failures - 1), rule.maximum)
    except OverflowError:
        bound = rule.maximum if rule.initial else 0
    return int(u * bound)


def pushback(ms: int, u: float) -> int:
    """The wait that a worker asked for with `ms` ≥ 0, in ns: at most 300 s, and then longer by up to a half of it, u in [0, 1).

    The jitter comes after the cap, so that workers' largest wishes are spread too: never shorter than the (capped) wish, always
    below 450 s. Source: gRPC A6 for the wish, Envoy for U(1, 1.5).
    """
    asked = min(ms, PUSHBACK_MOST) * MS
    return asked + int(u * (asked // 2))

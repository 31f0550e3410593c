"""The claims, one file each, in the order in which they are shown."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from sample_workers.demo.scenes import (
    answering,
    breaking,
    deadline,
    dying,
    failover,
    hanging,
    lying,
    retrying,
    rolling,
    staging,
    straggling,
    streaming,
    tracing,
)
from sample_workers.demo.stage import Stage
from sample_workers.demo.world import World


class Scene(NamedTuple):
    """One claim. `play` shows it and checks it; what it raises counts as not held."""

    title: str
    about: str
    play: Callable[[World, Stage], Awaitable[None]]


SCENES: Final = {
    1: Scene(
        "everyone answers",
        "seven workers in four processes, one merged answer; then two contacts that do not add up",
        answering.play,
    ),
    2: Scene(
        "a worker hangs",
        "ip never answers; it is waited for until its soft timeout of 300 ms, then a default stands in",
        hanging.play,
    ),
    3: Scene("a required worker is killed", "kill -9 on phone's process while all seven calls are in flight", dying.play),
    4: Scene("a worker answers rubbish", "email sends bytes that are no message", lying.play),
    5: Scene(
        "the remote aggregator is killed mid-request",
        "kill -9 on the aggregator after the first answers have been merged there",
        failover.play,
    ),
    6: Scene(
        "the caller has 200 ms",
        "place and holiday need longer; every limit below shrinks with the caller's deadline",
        deadline.play,
    ),
    7: Scene("a streamed fan-out", "the merged answer as it grows, while workers answer one after the other", streaming.play),
    8: Scene(
        "the trace of claim 2",
        "the same call once more, through the remote aggregator: who called whom, from the spans of all",
        tracing.play,
    ),
    9: Scene(
        "a breaker opens and closes again",
        "both replicas of tax_id fail every call: 200 calls, one after the other",
        breaking.play,
    ),
    10: Scene(
        "stragglers are hedged",
        "3 % of the calls of three replicas take ten times as long: without and with a second attempt",
        straggling.play,
    ),
    11: Scene(
        "retries have a budget",
        "three replicas of tax_id fail every call, and no breaker helps: 300 calls, ten at a time",
        retrying.play,
    ),
    12: Scene(
        "a rolling restart",
        "the three replicas of tax_id end and start again one after the other, while calls go on",
        rolling.play,
    ),
    13: Scene(
        "a staged plan, and a cascade", "holiday needs what ip says; place is asked where phone is not sure", staging.play
    ),
}
"""By number."""

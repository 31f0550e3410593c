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
    foreign,
    hanging,
    lying,
    retrying,
    rolling,
    searching,
    sharding,
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


_ORDER: Final = (
    Scene(
        "everyone answers",
        "seven workers in four processes, one merged answer; then two contacts that do not add up",
        answering.play,
    ),
    Scene(
        "a worker hangs",
        "ip never answers; it is waited for until its soft timeout of 300 ms, then a default stands in",
        hanging.play,
    ),
    Scene("a required worker is killed", "kill -9 on phone's process while all seven calls are in flight", dying.play),
    Scene("a worker answers rubbish", "email sends bytes that are no message", lying.play),
    Scene(
        "the remote aggregator is killed mid-request",
        "kill -9 on the aggregator after the first answers have been merged there",
        failover.play,
    ),
    Scene(
        "the caller has 200 ms",
        "place and holiday need longer; every limit below shrinks with the caller's deadline",
        deadline.play,
    ),
    Scene("a streamed fan-out", "the merged answer as it grows, while workers answer one after the other", streaming.play),
    Scene(
        "the trace of claim 2",
        "the same call once more, through the remote aggregator: who called whom, from the spans of all",
        tracing.play,
    ),
    Scene(
        "a breaker opens and closes again",
        "both replicas of tax_id fail every call: 200 calls, one after the other",
        breaking.play,
    ),
    Scene(
        "stragglers are hedged",
        "3 % of the calls of three replicas take ten times as long: without and with a second attempt",
        straggling.play,
    ),
    Scene(
        "retries have a budget",
        "three replicas of tax_id fail every call, and no breaker helps: 300 calls, ten at a time",
        retrying.play,
    ),
    Scene(
        "a rolling restart",
        "the three replicas of tax_id end and start again one after the other, while calls go on",
        rolling.play,
    ),
    Scene("a staged plan, and a cascade", "holiday needs what ip says; place is asked where phone is not sure", staging.play),
    Scene(
        "a search whose answer grows",
        "three engines over 16,449 medical findings; their ranks are fused anew as each answers",
        searching.play,
    ),
    Scene(
        "a shard is killed",
        "kill -9 on one of three shards while its call is in flight: the answer from the other two thirds",
        sharding.play,
    ),
    Scene(
        "a service that never heard of Fanmesh",
        "a service with a proto of its own, known by reflection, is one more branch of the search",
        foreign.play,
    ),
)
SCENES: Final = dict(enumerate(_ORDER, 1))
"""By number, which is the place in this order."""

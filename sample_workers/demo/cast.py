"""Who plays: the healthy workers as the scenario has them, and the same seven functions served again to misbehave.

The ill-behaved ones are workers of their own under names of their own, in the same configuration, so that every claim is
shown by the same dispatcher, and no claim depends on what another one broke.
"""

from __future__ import annotations

from typing import Final

from sample_workers.search import running

PACKAGE: Final = "sample_workers.enrichment"
BRANCHES: Final = ("phone", "tax_id", "place", "ip", "email", "holiday", "rates")
"""Of the plan `enrich_contact`, in its order."""

HEALTHY: Final = {
    "identity": ("phone", "email", "tax_id"),
    "location": ("ip", "place"),
    "location_2": ("ip",),
    "calendar_money": ("holiday", "rates"),
}
"""Processes and their workers, as in the scenario's own configuration: ip has two endpoints."""

PACES: Final = {
    "phone": "uniform(20ms,40ms)",
    "email": "uniform(60ms,80ms)",
    "tax_id": "uniform(100ms,120ms)",
    "ip": "uniform(140ms,160ms)",
    "rates": "uniform(180ms,200ms)",
    "holiday": "uniform(220ms,240ms)",
    "place": "uniform(260ms,280ms)",
}
"""How long the slow twin of each worker takes: one after the other, so that a stream has something to show."""

SLOW: Final = {branch: f"slow_{branch}" for branch in BRANCHES}
HANGING: Final = "hanging_ip"
LYING: Final = "lying_email"
DOOMED: Final = "doomed_phone"

ILL: Final = {
    "ill": {
        **{SLOW[branch]: (branch, f"delay={delay}") for branch, delay in PACES.items()},
        HANGING: ("ip", "hang"),
        LYING: ("email", "rubbish"),
    },
    "doomed": {DOOMED: ("phone", "hang")},
}
"""Processes, and their workers by name: the function that is served, and its behaviour."""


REPLICAS: Final = ("replica_1", "replica_2", "replica_3")
"""Processes that serve all of the workers below, so that three are enough for every claim about replicas."""

BROKEN: Final = "broken_tax_id"
FAILING: Final = "failing_tax_id"
UNHEDGED: Final = "unhedged_tax_id"
HEDGED: Final = "hedged_tax_id"
ROLLING: Final = "rolling_tax_id"

FAILS: Final = "fail=UNAVAILABLE"
STRAGGLES: Final = "delay=lognormal(50ms,6ms);stragglers=3%x10"
"""3 % and not 5 %: at as many stragglers as `max_extra_load` allows hedges, chance alone decides how many it refuses."""

REPLICATED: Final = {
    BROKEN: FAILS,
    FAILING: FAILS,
    UNHEDGED: STRAGGLES,
    HEDGED: STRAGGLES,
    ROLLING: "delay=uniform(5ms,15ms)",
}
"""Workers by name, and their behaviour; each is tax_id."""

BREAKABLE: Final = REPLICAS[:2]
"""Where BROKEN is called; all others are called at all three."""


ENGINES: Final = {"fts5": "uniform(20ms,30ms)", "tantivy": "uniform(90ms,110ms)", "bm25s": "uniform(160ms,180ms)"}
SHARDS: Final = {"shard_1": "uniform(100ms,120ms)", "shard_2": "uniform(120ms,140ms)", "shard_3": "uniform(140ms,160ms)"}
SEARCHING: Final = {**ENGINES, **SHARDS}
"""Workers of the search scenario, each a process of its own, and how long they take here: alone they are done in 2 ms."""

STRANGER: Final = "thesaurus"
"""A process that is no worker of Fanmesh."""
STRANGE: Final = "sample_workers.thesaurus.service"


def replicated(worker: str) -> tuple[str, ...]:
    """The processes at which a replicated worker is called."""
    return BREAKABLE if worker == BROKEN else REPLICAS


def searching(worker: str, seed: int) -> list[str]:
    """The command line of a search engine or a shard."""
    return running.line(worker, f"delay={SEARCHING[worker]}", seed)


def healthy(process: str) -> list[str]:
    """The command line of a healthy process."""
    return ["worker", *(f"{PACKAGE}.{name}:{name}" for name in HEALTHY[process]), "--listen", "127.0.0.1:0"]


def ill(process: str, seed: int) -> list[str]:
    """The command line of an ill-behaved process."""
    line = ["worker", "--listen", "127.0.0.1:0", "--seed", str(seed)]
    for name, (branch, behaviour) in ILL[process].items():
        line += [f"{name}={PACKAGE}.{branch}:{branch}", "--behaviour", f"{name}:{behaviour}"]
    return line


def replica(process: str, seed: int, *, mended: bool = False) -> list[str]:
    """The command line of a replica; no two of one seed stumble at the same calls. `mended`: BROKEN works."""
    line = ["worker", "--listen", "127.0.0.1:0", "--seed", str(seed * len(REPLICAS) + REPLICAS.index(process))]
    for name, behaviour in REPLICATED.items():
        line.append(f"{name}={PACKAGE}.tax_id:tax_id")
        if not (mended and name == BROKEN):
            line += ["--behaviour", f"{name}:{behaviour}"]
    return line

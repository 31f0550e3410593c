"""Who plays: the healthy workers as the scenario has them, and the same seven functions served again to misbehave.

The ill-behaved ones are workers of their own under names of their own, in the same configuration, so that every claim is
shown by the same dispatcher, and no claim depends on what another one broke.
"""

from __future__ import annotations

from typing import Final

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


def healthy(process: str) -> list[str]:
    """The command line of a healthy process."""
    return ["worker", *(f"{PACKAGE}.{name}:{name}" for name in HEALTHY[process]), "--listen", "127.0.0.1:0"]


def ill(process: str, seed: int) -> list[str]:
    """The command line of an ill-behaved process."""
    line = ["worker", "--listen", "127.0.0.1:0", "--seed", str(seed)]
    for name, (branch, behaviour) in ILL[process].items():
        line += [f"{name}={PACKAGE}.{branch}:{branch}", "--behaviour", f"{name}:{behaviour}"]
    return line

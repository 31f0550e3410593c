"""The fanmesh.yaml of each variant. What this version cannot do is found by asking its own loader: no list has to be kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from dispatcher.assembly import MERGES
from dispatcher.config import ConfigErrors, load_mapping

Mapping = dict[str, Any]

HEDGE: Final[Mapping] = {"after": "p95", "min": "5ms", "max": "2s", "max_extra_load": 0.05, "min_samples": 50}
POLICIES: Final[dict[str, Mapping | None]] = {
    "none": None,  # built in
    "standard": None,  # built in
    "hedged": {"extends": "standard", "hedge": HEDGE},
    "allowed": {"extends": "standard", "hedge": {**HEDGE, "max_extra_load": 0.054}},  # what claim (a) allows
    "early": {"extends": "standard", "hedge": {**HEDGE, "after": "p90", "max_extra_load": 0.1}},  # as hedge-python has it
    # An open breaker saves more attempts than any budget; without it the budget has to hold alone.
    "budgeted": {"extends": "standard", "breaker": None},
    "budgeted_hedged": {"extends": "standard", "breaker": None, "hedge": HEDGE},
    # Beside a source of faults that delays a fifth of all calls: the delay has to lie below it, and the money has to suffice.
    "eager": {
        "extends": "standard",
        "retry": {"budget": {"ratio": 0.6}},
        "hedge": {**HEDGE, "after": "p75", "max_extra_load": 0.4},
    },
    # What defects.py asks needs hedges at once and allowed; `capped` is the cap itself.
    "willing": {
        "extends": "standard",
        "retry": {"budget": {"ratio": 1.0, "min_per_second": 100}},
        "hedge": {**HEDGE, "after": "p90", "max_extra_load": 1.0},
    },
    "capped": {"extends": "standard", "hedge": {**HEDGE, "after": "p90"}},
}

PLAIN: Final[Mapping] = {"latency": {"budget": {"latency": "5s"}, "branches": {"b0": {"worker": "w"}}}}
"""One plan with one branch: what is measured is the policies of a call."""


def mapping(policy: str, ports: list[int], plans: Mapping) -> Mapping:
    """A configuration with a worker `w` at these ports under that policy; `none` is not said where there are no policies."""
    worker: Mapping = {"endpoints": [f"127.0.0.1:{port}" for port in ports], "effect": "read"}
    config: Mapping = {"version": 1, "workers": {"w": worker}, "plans": plans}
    config["server"] = {"listen": "127.0.0.1:0", "metrics": None}
    if policy != "none" or known("none"):
        worker["policy"] = policy
        if (own := POLICIES[policy]) is not None:
            config["policies"] = {policy: own}
    return config


def known(policy: str) -> bool:
    """Whether this version has that policy."""
    worker = {"endpoints": ["127.0.0.1:1"], "effect": "read", "policy": policy}
    own = POLICIES[policy]
    policies = {"policies": {policy: own}} if own is not None else {}
    try:
        load_mapping({"version": 1, "workers": {"w": worker}, "plans": PLAIN, **policies}, MERGES)
    except ConfigErrors as errors:
        if all("not supported by this version" in problem.message for problem in errors.problems):
            return False
        raise
    return True


def write(folder: Path, policy: str, ports: list[int], plans: Mapping = PLAIN) -> Path:
    """Write it: JSON, which is YAML."""
    file = folder / f"{policy}-{ports[0]}.yaml"
    file.write_text(json.dumps(mapping(policy, ports, plans), indent=1))
    return file

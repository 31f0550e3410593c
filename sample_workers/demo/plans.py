"""The demo's configuration: the scenarios' own files with the addresses of this run, and a variant of a plan for each claim.

Derived and not written a second time: what the demo shows is what the scenarios' own files do.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from importlib.resources import files
from io import StringIO
from typing import Any, Final

from ruamel.yaml import YAML

from sample_workers.demo.cast import BROKEN, DOOMED, FAILING, HANGING, HEDGED, LYING, PACKAGE, ROLLING, SHARDS, SLOW, UNHEDGED

BESIDE: Final = ("sample_workers.search", "sample_workers.thesaurus")
"""Scenarios whose plans are served beside those of PACKAGE."""

BASE: Final = "enrich_contact"
HANGS: Final = "contact_ip_hangs"
DIES: Final = "contact_phone_dies"
LIES: Final = "contact_email_lies"
PACED: Final = "contact_slow"
LATE: Final = "contact_late"
BREAKS: Final = "pair_tax_id_broken"
RETRIES: Final = "pair_tax_id_retried"
FEDERATED: Final = "federated"
COMPARED: Final = "compare"
SHARDED: Final = "sharded"
WIDENED: Final = "federated_with_names"
ROLLS: Final = "pair_tax_id_rolls"
WAITS: Final = "tax_id_unhedged"
HEDGES: Final = "tax_id_hedged"
STAGED: Final = "contact_staged"
ESCALATES: Final = "locate_cascade"

ENOUGH: Final = 0.9
"""Confidence at which a cascade ends."""

PATIENT: Final = "1200ms"
"""Time limit of each branch where a claim is not about the workers being slow."""

POLICIES: Final = {
    "stubborn": {"extends": "standard", "breaker": None},
    "impatient": {"extends": "standard", "hedge": {"after": "p90", "min": "120ms", "max_extra_load": 0.05}},
}
"""No breaker where a claim is about the retry budget alone. `min` lies between a usual call and a straggler."""

POLICY: Final = {UNHEDGED: "none", HEDGED: "impatient", FAILING: "stubborn", **dict.fromkeys(SHARDS, "stubborn")}
"""Workers that have another policy than the default one, `standard`."""

OVERLOAD: Final = {"lag": {"hedges": None, "optional": None, "reject": None}}
"""The door stays open however busy this machine is with other things: what it does about that is no claim of the demo."""

Addresses = Mapping[str, Sequence[str]]


def configuration(addresses: Addresses, aggregator: str = "embedded") -> str:
    """`fanmesh.yaml` for the workers at these addresses, by worker."""
    yaml = YAML()
    yaml.width = 120
    document: Any = yaml.load((files(PACKAGE) / "fanmesh.yaml").read_text("utf-8"))
    others: list[Any] = [yaml.load((files(package) / "fanmesh.yaml").read_text("utf-8")) for package in BESIDE]
    known = {name: keys for other in others for name, keys in other["workers"].items()}
    document["policies"] = copy.deepcopy(POLICIES)
    document["workers"] = {name: _worker(name, list(where), known.get(name, {})) for name, where in addresses.items()}
    plans = document["plans"]
    base = plans[BASE]
    plans[HANGS] = variant(base, {"ip": HANGING})
    plans[DIES] = variant(base, {**SLOW, "phone": DOOMED}, patient=True)
    plans[LIES] = variant(base, {"email": LYING})
    plans[PACED] = variant(base, SLOW, patient=True)
    plans[LATE] = variant(base, {branch: SLOW[branch] for branch in ("place", "holiday")}, patient=True)
    plans[BREAKS] = _pair(BROKEN, if_missing={"use": {"country": "unknown"}})
    plans[RETRIES] = _pair(FAILING, if_missing={"use": {"country": "unknown"}})
    plans[ROLLS] = _pair(ROLLING, required=True)
    plans[WAITS] = _alone(UNHEDGED)
    plans[HEDGES] = _alone(HEDGED)
    plans[STAGED] = _staged()
    plans[ESCALATES] = {"cascade": [{"branch": "phone", "stop_if": f"confidence >= {ENOUGH}"}, {"branch": "place"}]}
    for name, plan in (plan for other in others for plan in other["plans"].items()):
        if name in (FEDERATED, COMPARED, SHARDED, WIDENED):
            plans[name] = variant(plan, {}, patient=True)
    document["server"] = {"listen": "127.0.0.1:0", "metrics": None, "aggregator": aggregator, "drain": "2s"}
    document["server"]["overload"] = copy.deepcopy(OVERLOAD)
    del document["dev"]
    text = StringIO()
    yaml.dump(document, text)
    return text.getvalue()


def variant(base: Any, workers: Mapping[str, str], *, patient: bool = False) -> Any:
    """The plan with other workers in some branches. `patient`: no branch is left behind for being slow."""
    plan = copy.deepcopy(base)
    for name, branch in plan["branches"].items():
        if name in workers:
            branch["worker"] = workers[name]
        if patient:
            branch.pop("soft_timeout", None)
            branch["timeout"] = PATIENT
    return plan


def _pair(worker: str, **more: Any) -> dict[str, Any]:
    """A healthy phone beside `worker` in the part of tax_id, so that an answer without tax_id is still one."""
    plan = _alone(worker, **more)
    plan["branches"] = {"phone": {}, **plan["branches"]}
    return plan


def _alone(worker: str, **more: Any) -> dict[str, Any]:
    return {"budget": {"latency": "1500ms"}, "branches": {"tax_id": {"worker": worker, "timeout": PATIENT, **more}}}


def _staged() -> dict[str, Any]:
    """The calendar of the country that the address says, and not of the one that is claimed; the place beside it."""
    branches: dict[str, Any] = {name: {"worker": SLOW[name], "timeout": PATIENT} for name in ("ip", "holiday", "place")}
    branches["holiday"]["input"] = {"date": "${input.date}", "country": "${branches.ip.output.country}"}
    branches["holiday"]["min_time"] = "300ms"
    return {"budget": {"latency": "1500ms"}, "branches": branches}


def _worker(name: str, addresses: list[str], known: Mapping[str, Any]) -> dict[str, Any]:
    foreign = {key: known[key] for key in ("method", "reflection") if key in known}
    where = {"target": addresses[0]} if len(addresses) == 1 else {"endpoints": addresses}
    policy = {"policy": POLICY[name]} if name in POLICY else {}
    return {**where, "effect": "read", **policy, **foreign}

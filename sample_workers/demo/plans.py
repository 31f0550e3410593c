"""The demo's configuration: the scenario's own file with the addresses of this run, and a variant of its plan for each claim.

Derived and not written a second time: what the demo shows is what `sample_workers/enrichment/fanmesh.yaml` does.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from importlib.resources import files
from io import StringIO
from typing import Any, Final

from ruamel.yaml import YAML

from sample_workers.demo.cast import DOOMED, HANGING, LYING, PACKAGE, SLOW

BASE: Final = "enrich_contact"
HANGS: Final = "contact_ip_hangs"
DIES: Final = "contact_phone_dies"
LIES: Final = "contact_email_lies"
PACED: Final = "contact_slow"
LATE: Final = "contact_late"

PATIENT: Final = "1200ms"
"""Time limit of each branch where a claim is not about the workers being slow."""

Addresses = Mapping[str, Sequence[str]]


def configuration(addresses: Addresses, aggregator: str = "embedded") -> str:
    """`fanmesh.yaml` for the workers at these addresses, by worker."""
    yaml = YAML()
    yaml.width = 120
    document: Any = yaml.load((files(PACKAGE) / "fanmesh.yaml").read_text("utf-8"))
    document["workers"] = {name: _worker(list(where)) for name, where in addresses.items()}
    plans = document["plans"]
    base = plans[BASE]
    plans[HANGS] = variant(base, {"ip": HANGING})
    plans[DIES] = variant(base, {**SLOW, "phone": DOOMED}, patient=True)
    plans[LIES] = variant(base, {"email": LYING})
    plans[PACED] = variant(base, SLOW, patient=True)
    plans[LATE] = variant(base, {branch: SLOW[branch] for branch in ("place", "holiday")}, patient=True)
    document["server"] = {"listen": "127.0.0.1:0", "metrics": None, "aggregator": aggregator, "drain": "2s"}
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


def _worker(addresses: list[str]) -> dict[str, Any]:
    if len(addresses) == 1:
        return {"target": addresses[0], "effect": "read"}
    return {"endpoints": addresses, "effect": "read"}

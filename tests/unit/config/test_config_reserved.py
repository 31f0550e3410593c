"""What this version does not have is refused by name, never ignored and never called a typo."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from dispatcher.config import Problem
from dispatcher.config.reserved import KEYS

Wrong = Callable[..., list[Problem]]
PLANS = (Path(__file__).resolve().parents[3] / "docs" / "plans.md").read_text()

AT = {
    "": ["access", "include", "rollouts", "spend_limits", "tls", "triggers"],
    "workers.phone": ["estimate", "price"],
    "plans.enrich.budget": ["tokens", "usd"],
    "server": ["tls"],
}  # fmt: skip

PLACES = {
    "": ("routes:", "KEY: {a: 1}\nroutes:"),
    "workers.phone": ('"phone:50051",', '"phone:50051", KEY: 1,'),
    "plans.enrich": ("    budget:", "    KEY: []\n    budget:"),
    "plans.enrich.budget": ("latency: 1s", "latency: 1s, KEY: 3"),
    "plans.enrich.branches.phone": ("required: true", "required: true, KEY: {}"),
    "server": ("routes:", "server: {KEY: 3}\nroutes:"),
}


@pytest.mark.parametrize(("section", "key"), [(section, key) for section, keys in AT.items() for key in keys])
def test_keys_of_later_versions_are_refused_by_name(wrong: Wrong, section: str, key: str) -> None:
    """One message that says so, at the key."""
    old, new = PLACES[section]
    (problem,) = wrong(old, new.replace("KEY", key))
    assert (problem.path.removeprefix(f"{section}."), problem.message) == (key, f"{key} is not supported by this version")


def test_the_page_about_plans_names_what_is_refused_and_nothing_else() -> None:
    """Each name of its section "Not yet" is one that is refused by name; `latency` stands there to say beside what."""
    section = PLANS.split("## Not yet")[1]
    assert set(re.findall(r"`(\w+)`", section)) - {"latency"} <= KEYS
    assert {"tokens", "usd"} <= set(re.findall(r"`(\w+)`", section))

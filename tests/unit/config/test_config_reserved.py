"""What this version does not have is refused by name, never ignored and never called a typo."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dispatcher.config import Problem, reserved

Wrong = Callable[..., list[Problem]]

AT = {
    "": ["access", "include", "rollouts", "spend_limits", "tls", "triggers"],
    "workers.phone": ["estimate", "fallback", "price"],
    "plans.enrich": ["fallback"],
    "plans.enrich.budget": ["tokens", "usd"],
    "plans.enrich.branches.phone": ["fallback"],
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


@pytest.mark.parametrize("merge", sorted(reserved.MERGES))
@pytest.mark.parametrize("form", ["{}", "{{{}: {{}}}}"])
def test_merges_of_later_versions_are_refused_by_name(wrong: Wrong, merge: str, form: str) -> None:
    """Values, too, and the keys of one-key choices: with and without options."""
    (problem,) = wrong("complete: {until: all}", f"merge: {form.format(merge)}")
    assert problem.message == f"merge: {merge} is not supported by this version"

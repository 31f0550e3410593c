"""`cache` of a branch: what it comes to, and for whom it is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dispatcher.config import Config, Problem
from dispatcher.model.caching import CacheRule
from dispatcher.model.reading import Reading
from fanmesh.model.times import SECOND
from fanmesh.payload import Box
from tests.unit.config.conftest import BASE

Load = Callable[..., Config]
Wrong = Callable[..., list[Problem]]


def rule_of(load: Load, cache: str, *, more: str = "") -> CacheRule:
    """The rule of the branch `geo` with such a section."""
    node = load("timeout: 400ms", f"timeout: 400ms, cache: {cache}{more}").catalogue.plans["enrich"].nodes[1]
    assert node.cache is not None
    return node.cache


def test_a_branch_has_none_unless_it_says_so(load: Load) -> None:
    """Nothing is kept or joined that nobody has asked for."""
    assert [node.cache for node in load().catalogue.plans["enrich"].nodes] == [None, None]
    assert load("timeout: 400ms", "timeout: 400ms, cache: null").catalogue.plans["enrich"].nodes[1].cache is None


def test_the_defaults_are_the_models(load: Load) -> None:
    """Bounded, joining, no older answers."""
    rule = rule_of(load, "{ttl: 30s}")
    assert rule == CacheRule(ttl=30 * SECOND, source=rule.source)
    assert rule.key is None


def test_every_key(load: Load) -> None:
    """Each means what it says."""
    rule = rule_of(load, '{ttl: 1s, stale_on_error: 5m, max_entries: 7, max_bytes: 1KiB, coalesce: false, key: "${input.id}"}')
    assert (rule.ttl, rule.stale, rule.entries, rule.size, rule.coalesce) == (SECOND, 300 * SECOND, 7, 1024, False)
    assert rule.key is not None
    assert rule.key(Reading(Box.of({"id": 5}), {})) == 5


def test_the_same_text_is_the_same_rule(load: Load) -> None:
    """However often it is compiled; another `key`, or another `input`, which the key stands for, is another."""
    keyed = '{ttl: 1s, key: "${input.id}"}'
    assert rule_of(load, keyed) == rule_of(load, keyed)
    assert rule_of(load, keyed) != rule_of(load, '{ttl: 1s, key: "${input.no}"}')
    assert rule_of(load, keyed) != rule_of(load, keyed, more=', input: "${input.x}"')


def test_attributes_that_the_input_is_made_of_count_beside_a_key(load: Load) -> None:
    """The worker is sent them. Under the default key they are part of what is sent anyway."""
    sends = ', input: {a: "${attributes.risk}", b: [1, "${attributes.task + input.x}"]}'
    assert rule_of(load, '{ttl: 1s, key: "${input.id}"}', more=sends).told == ("risk", "task")
    assert rule_of(load, "{ttl: 1s}", more=sends).told == ()
    assert rule_of(load, '{ttl: 1s, key: "${attributes.risk}"}').told == ()


@pytest.mark.parametrize(
    ("worker", "message"),
    [
        ("effect: write", "worker geo writes: a call that is not made writes nothing, however idempotent it is"),
        (
            "effect: write, idempotent: true",
            "worker geo writes: a call that is not made writes nothing, however idempotent it is",
        ),
        ("effect: read, stream: true", "worker geo answers in parts, and answers in parts are not kept by this version"),
    ],
)
def test_whose_answers_are_not_kept(wrong: Wrong, worker: str, message: str) -> None:
    """Writes, because they would not be made; streams, because that is not built."""
    text = BASE.replace('"geo:50051", effect: read', f'"geo:50051", {worker}')
    (problem,) = wrong("timeout: 400ms", "timeout: 400ms, cache: {ttl: 30s}", text=text)
    assert (problem.path, problem.message, problem.severity) == ("plans.enrich.branches.geo.cache", message, "error")
    assert problem.expected


def test_the_version_of_a_configuration(load: Load) -> None:
    """Follows a change of the cache, as of anything else."""
    versions = {
        load("timeout: 400ms", f"timeout: 400ms, cache: {cache}").version for cache in ("null", "{ttl: 1s}", "{ttl: 2s}")
    }
    assert len(versions) == 3

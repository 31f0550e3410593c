"""Configurations of every shape: what is valid survives being written and read, and nothing else gets further than an error."""

from __future__ import annotations

import io
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from aggregator.engine.merges import compile_merge, merge_schema
from dispatcher.config import Config, ConfigErrors, MergeCatalogue, load_mapping, load_text
from tests.kit.effort import tries

MERGES = MergeCatalogue(compile_merge, merge_schema())

ids = st.from_regex(r"\A[a-z][a-z0-9_]{0,6}\Z").filter(lambda text: text not in {"null", "true", "false"})
durations = st.builds(lambda n, unit: f"{n}{unit}", st.integers(1, 900), st.sampled_from(["us", "ms", "s"]))


def plain(text: str) -> bool:
    """No template, and nothing that ruamel writes into a flow mapping and cannot read there: `{a: :0}`."""
    return "${" not in text and not text.startswith(":")


json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs", "Cc"])).filter(plain),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ids, inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@st.composite
def configurations(draw: st.DrawFn) -> dict[str, Any]:
    """A valid configuration, as a mapping."""
    workers = draw(st.lists(ids, min_size=1, max_size=4, unique=True))
    attributes = draw(st.lists(ids, max_size=3, unique=True))

    def optional(key: str, values: st.SearchStrategy[Any]) -> dict[str, Any]:
        return {key: draw(values)} if draw(st.booleans()) else {}

    def policy(before: list[str]) -> dict[str, Any]:
        """One that may extend a built-in one or one before it; bounds are far enough apart to fit in any combination."""
        codes = st.lists(st.sampled_from(["UNAVAILABLE", "INTERNAL", "ABORTED"]), max_size=3, unique=True)
        short, long = st.sampled_from(["1ms", "50ms"]), st.sampled_from(["60s", "2m"])
        rate = {"over": st.floats(0, 0.99), "window": short | long, "min_requests": st.integers(1, 99)}
        sections = {
            "retry": {
                "max_attempts": st.integers(2, 10),
                "codes": codes,
                "on_timeout": st.booleans(),
                "per_try_timeout": st.none() | durations,
                "backoff": st.fixed_dictionaries(
                    {}, optional={"initial": short, "max": long, "multiplier": st.floats(1, 9), "jitter": st.just("full")}
                ),
                "budget": st.fixed_dictionaries({}, optional={"ratio": st.floats(0, 1), "min_per_second": st.floats(0, 9)}),
            },
            "hedge": {
                "after": st.sampled_from(["p50", "p95", "p99.9", "3ms"]),
                "min": short,
                "max": long,
                "max_extra_load": st.floats(0.01, 1),
                "min_samples": st.integers(1, 99),
            },
            "breaker": {
                "consecutive_failures": st.none() | st.integers(1, 9),
                "failure_rate": st.none() | st.fixed_dictionaries({}, optional=rate),
                "open_for": st.fixed_dictionaries({}, optional={"initial": short, "max": long}),
            },
        }
        return {
            **optional("extends", st.sampled_from(["none", "standard", "hedged", *before])),
            **{
                name: draw(st.none() | st.fixed_dictionaries({}, optional=keys))
                for name, keys in sections.items()
                if draw(st.booleans())
            },
            **optional("balance", st.sampled_from(["p2c_ewma", "round_robin"])),
        }

    policies: dict[str, Any] = {}
    for name in draw(st.lists(ids, max_size=3, unique=True)):
        policies[name] = policy(list(policies))
    all_policies = st.sampled_from(["none", "standard", "hedged", *policies])
    limits = st.fixed_dictionaries(
        {"in_flight": st.integers(1, 99)},
        optional={
            "queue": st.integers(0, 99),
            "endpoint_in_flight": st.integers(1, 99),
            "rate": st.fixed_dictionaries({"per_second": st.floats(0.1, 999)}, optional={"burst": st.integers(1, 99)}),
        },
    )
    share = st.floats(0.1, 100)
    faults = st.fixed_dictionaries(
        {},
        optional={
            "delay": st.fixed_dictionaries({"percent": share, "of": durations}),
            "abort": st.fixed_dictionaries({"percent": share}, optional={"code": st.sampled_from(["INTERNAL", "UNKNOWN"])}),
            "seed": st.integers(-9, 9),
            "headers": st.booleans(),
        },
    )

    def worker(name: str) -> dict[str, Any]:
        effect = draw(st.sampled_from(["read", "write"]))
        return {
            "target": f"{name.replace('_', '-')}x:50051",
            "effect": effect,
            **({"idempotent": True, **optional("policy", all_policies)} if draw(st.booleans()) or effect == "read" else {}),
            **optional("stream", st.booleans()),
            **optional("endpoints", st.sampled_from(["resolve", "opaque"])),
            **optional("limit", limits),
            **optional("faults", faults),
        }

    def branch() -> dict[str, Any]:
        return {
            "worker": draw(st.sampled_from(workers)),
            **optional("required", st.booleans()),
            **optional("weight", st.floats(min_value=1e-6, max_value=1e6)),
            **optional("timeout", durations),
            **optional("sla", durations),
            **optional("if_missing", st.sampled_from(["skip", "fail"]) | st.fixed_dictionaries({"use": json})),
            **optional("if", st.sampled_from(["true", "has(input.x)", *(f'attributes.{name} == "1"' for name in attributes)])),
            **optional("input", json),
            **optional("on_stream_failure", st.sampled_from(["keep", "discard"])),
        }

    def plan() -> dict[str, Any]:
        branches = {name: branch() for name in draw(st.lists(ids, min_size=1, max_size=4, unique=True))}
        rule = st.sampled_from(
            ["all", "first", {"count": 1}, {"coverage": 0.5}, {"confidence": 0.9}, {"predicate": "coverage > 0.5"}]
        )
        rules = st.lists(rule, min_size=1, max_size=2, unique_by=repr)  # one predicate
        return {
            "branches": branches,
            **optional("budget", st.fixed_dictionaries({"latency": durations})),
            **optional("complete", st.fixed_dictionaries({"until": rule | rules})),
            **optional("accept", st.fixed_dictionaries({"min_success": st.integers(0, 1)})),
            **optional("merge", st.sampled_from(["collect", "first", "priority", {"collect": None}])),
        }

    plans = {name: plan() for name in draw(st.lists(ids, min_size=1, max_size=3, unique=True))}
    return {
        "version": 1,
        "attributes": attributes,
        "policies": policies,
        **optional("default_policy", all_policies),
        "workers": {name: worker(name) for name in workers},
        "plans": plans,
        **optional("routes", st.just([{"plan": next(iter(plans))}])),
        **optional("server", st.fixed_dictionaries({"drain": durations, "metrics": st.none() | st.just("127.0.0.1:1")})),
    }


def dump(value: object, *, flow: bool) -> str:
    """Another program's YAML of it."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = flow
    yaml.sort_base_mapping_type_on_output = False
    yaml.allow_unicode = True
    yaml.representer.ignore_aliases = lambda _: True  # it would put the anchor of a one-pair map on the map's key
    stream = io.StringIO()
    yaml.dump(value, stream)
    return stream.getvalue()


def content(config: Config) -> object:
    """All of a config but what compares by identity: the compiled expressions and merges, and where warnings stand."""
    plans = [
        (
            plan.name, plan.latency, plan.merge_reserve, plan.completion, plan.merge,
            [(n.id, n.worker, n.required, n.weight, n.timeout, n.sla, n.if_missing, n.default, n.condition_source,
              n.discard_broken, n.input is None) for n in plan.nodes],
        )
        for plan in config.catalogue.plans.values()
    ]  # fmt: skip
    routes = [(route.plan, route.source) for route in config.catalogue.routes]
    warnings = sorted((problem.path, problem.message) for problem in config.warnings)
    return plans, routes, config.catalogue.workers, config.catalogue.attributes, config.server, config.version, warnings


@given(configurations(), st.booleans())
@settings(max_examples=tries(60), deadline=None)
def test_a_configuration_survives_being_written_and_read(mapping: dict[str, Any], flow: bool) -> None:  # noqa: FBT001
    """The same plans come from the mapping and from its YAML, in block and in flow style, down to the version."""
    assert content(load_text(dump(mapping, flow=flow), filename="f", merges=MERGES)) == content(load_mapping(mapping, MERGES))


def accepts_or_explains(text: str) -> None:
    """Load, or hear why not, in words that can be printed."""
    try:
        load_text(text, filename="f", merges=MERGES)
    except ConfigErrors as errors:
        problems = errors.problems
    else:
        return
    assert any(problem.severity == "error" for problem in problems)
    assert all(problem.message and str(problem) for problem in problems)


PIECES = st.sampled_from(
    [
        "version: 1", "workers:", "plans:", "  a:", "  a: {target: 'a:1', effect: read}", "  p: {branches: {a: {}}}",
        "    branches:", "      a: {if: 'input.x'}", "routes: [{plan: p}]", "- ", "&x ", "*x", "!t ", "{", "}", "[", "]",
        "? ", ": ", "\n", "  ", "\t", "'", '"', "|", ">", "%YAML 1.2", "---", "...", "<<: *x", "until: {count: 1}",
        "server: {limits: {part: 1MiB}}", "#", "\\ud800", "\x00", "0x", "1e999", "null", ",",
        "merge: {deep_merge: {a: b}}", "policies: {a: {extends: a}}", "default_policy: a", "faults: {delay: {of: 1s}}",
    ]
)  # fmt: skip


@given(st.lists(PIECES | st.text(max_size=6), max_size=25), st.sampled_from(["", " ", "\n"]))
@settings(max_examples=tries(250), deadline=None)
def test_garbage_ends_in_config_errors(pieces: list[str], between: str) -> None:
    """No text makes loading raise anything else."""
    accepts_or_explains(between.join(pieces))


KEYS = st.sampled_from(
    [
        "version", "attributes", "workers", "plans", "routes", "server", "dev", "target", "effect", "endpoints",
        "branches", "budget", "latency", "complete", "until", "count", "coverage", "grace", "min", "accept", "min_success",
        "merge", "deep_merge", "if", "if_missing", "use", "input", "output", "plan", "worker", "a", "p", "limits", "part",
        "cascade", "retry", "(use)", "[key]", "A", "policies", "policy", "default_policy", "extends", "hedge", "after", "codes",
        "breaker", "failure_rate", "open_for", "max", "backoff", "limit", "rate", "per_second", "faults", "delay", "percent",
        "of", "overload", "lag", "reject", "idempotent", "predicate", "(predicate)", "confidence", "quiet", "min_interval",
    ]
)  # fmt: skip
VALUES = st.sampled_from(
    [
        1, "a", "p", "read", "write", "1s", 0, -1, 1.5, True, None, "", "a:1", "input.x", "${input.y}", [], {}, "all", "vote",
        "p95", "UNAVAILABLE", "standard", "opaque",
    ]
)  # fmt: skip


@given(
    st.recursive(VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=20)
)
@settings(max_examples=tries(250), deadline=None)
def test_well_formed_nonsense_ends_in_config_errors(value: object) -> None:
    """The right keys in the wrong places, with values of the wrong kind."""
    accepts_or_explains(dump(value, flow=True))


@given(configurations(), st.data())
@settings(max_examples=tries(120), deadline=None)
def test_a_damaged_configuration_ends_in_config_errors_or_loads(mapping: dict[str, Any], data: st.DataObject) -> None:
    """One place of a valid configuration replaced by anything."""
    node: Any = mapping
    while isinstance(node, dict) and node:
        key = data.draw(st.sampled_from(sorted(node)))
        if data.draw(st.booleans()) or not isinstance(node[key], dict):
            node[key] = data.draw(json | VALUES)
            break
        node = node[key]
    accepts_or_explains(dump(mapping, flow=False))

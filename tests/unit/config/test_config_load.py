"""From a file to frozen plans."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from dispatcher.config import Config, ConfigErrors, Limits, MergeCatalogue, ServerConfig, load_file, load_mapping, load_text
from dispatcher.model.plan import Effect, Worker
from dispatcher.model.policy import STANDARD
from fanmesh.model.completion import CompletionRule, Grace, Predicate, Until, UntilKind
from fanmesh.model.merge import MergeSpec
from fanmesh.model.states import IfMissing
from fanmesh.model.times import MS, SECOND

QUICK_START = """\
version: 1
workers: {hello: {target: "localhost:50051", effect: read}, slow: {target: "localhost:50052", effect: read}}
plans:
  greet: {budget: {latency: 1s}, branches: {hello: {required: true}, slow: {soft_timeout: 200ms}}}
"""


def test_the_quick_start_is_enough(load: Callable[..., Config]) -> None:
    """Six lines or fewer; everything else has its default."""
    config = load(text=QUICK_START)
    plan = config.catalogue.plans["greet"]
    hello, slow = plan.nodes
    assert config.warnings == ()
    assert (plan.latency, plan.merge_reserve, plan.merge) == (SECOND, 25 * MS, MergeSpec("collect"))
    assert plan.completion == CompletionRule((Until(UntilKind.ALL),), None, Grace(), 1, 0.0)
    assert hello.worker == Worker("hello", "dns:///localhost:50051", Effect.READ, policy=STANDARD)
    assert (hello.required, hello.weight, hello.soft, hello.timeout, hello.if_missing) == (
        True,
        1.0,
        None,
        None,
        IfMissing.SKIP,
    )
    assert (slow.required, slow.soft, slow.condition, slow.input, slow.output) == (False, 200 * MS, None, None, None)
    assert config.server == ServerConfig("127.0.0.1:50050", "127.0.0.1:9464", "embedded", 20 * SECOND, Limits())
    assert (config.catalogue.routes, config.dev) == ((), {})


FULL = """\
version: 1
attributes: [task, tenant]
workers:
  geo: {endpoints: ["a:1", "b:1"], effect: read, attributes: [tenant], stream: true}
  dup: {target: "unix:/run/dup.sock", effect: read, endpoints: resolve}
plans:
  p:
    budget: {latency: 1500ms}
    merge_reserve: 0
    branches:
      geo: {weight: 2.5, sla: 100ms, if_missing: {use: {country: unknown, exact: 9007199254740993}}, on_stream_failure: discard}
      two: {worker: dup, if_missing: fail, if: 'attributes.task == "x"', timeout: 1s}
    complete: {until: [first, {count: 2}, {coverage: 0.5}], soft_timeout: 800ms, grace: {min: 0.2, max: 0.3}}
    accept: {min_success: 0, min_coverage: 0.25}
    merge: {deep_merge: {country: last}}
routes: [{if: 'attributes.tenant == "a"', plan: p}, {plan: p}]
server: {listen: "0.0.0.0:0", metrics: null, aggregator: "agg:50060", drain: 0, limits: {part: 2MiB, branch: 3MiB, reply: 4KiB}}
dev: {geo: "m.n:geo"}
"""


def test_every_key_reaches_its_place(load: Callable[..., Config]) -> None:
    """Each key of this version, set to something other than its default."""
    config = load(text=FULL)
    catalogue, plan = config.catalogue, config.catalogue.plans["p"]
    geo, two = plan.nodes
    assert geo.worker == Worker("geo", "", Effect.READ, ("a:1", "b:1"), streams=True, attributes=("tenant",), policy=STANDARD)
    assert two.worker == Worker("dup", "unix:/run/dup.sock", opaque=True, policy=STANDARD)
    assert (geo.weight, geo.sla, geo.discard_broken) == (2.5, 100 * MS, True)
    assert (geo.if_missing, geo.default) == (IfMissing.USE, {"country": "unknown", "exact": 9007199254740993})
    assert (two.if_missing, two.timeout, two.condition_source) == (IfMissing.FAIL, SECOND, 'attributes.task == "x"')
    assert (plan.latency, plan.merge_reserve, plan.merge) == (1500 * MS, 0, MergeSpec("deep_merge", {"country": "last"}))
    until = (Until(UntilKind.FIRST), Until(UntilKind.COUNT, 2), Until(UntilKind.COVERAGE, 0.5))
    assert plan.completion == CompletionRule(until, 800 * MS, Grace(0.2, 0.3), 0, 0.25)
    assert plan.accepts("geo", 3) is not None
    assert plan.accepts("geo", {}) is None
    assert [(route.plan, route.source) for route in catalogue.routes] == [("p", 'attributes.tenant == "a"'), ("p", "default")]
    assert catalogue.attributes == ("task", "tenant")
    assert config.server == ServerConfig("0.0.0.0:0", None, "dns:///agg:50060", 0, Limits(2 * 2**20, 3 * 2**20, 4096))
    assert config.dev == {"geo": "m.n:geo"}


@pytest.mark.parametrize(
    "server",
    [
        "listen: '127.0.0.1:0', metrics: '127.0.0.1:0'",
        "listen: '127.0.0.1:9464', metrics: null",
        "listen: '127.0.0.1:9464', metrics: '127.0.0.1:9465'",
        "listen: '127.0.0.1:9464', metrics: '127.0.0.2:9464'",
        "listen: 'unix:/run/f.sock'",
    ],
)
def test_callers_and_metrics_have_an_address_each(load: Callable[..., Config], server: str) -> None:
    """Any free port twice is two; so are two hosts, and a socket."""
    assert load("routes:", f"server: {{{server}}}\nroutes:").warnings == ()


def test_the_version_follows_the_meaning(load: Callable[..., Config]) -> None:
    """Layout, comments, spelled-out defaults and other units of the same time change nothing; any meaning does."""
    version = load(text=QUICK_START).version
    assert load("plans:", "\nplans:  # a comment", text=QUICK_START).version == version
    assert load("latency: 1s", "latency: 1000ms", text=QUICK_START).version == version
    assert load("{required: true}", "{required: true, weight: 1}", text=QUICK_START).version == version
    assert load("200ms", "201ms", text=QUICK_START).version != version
    assert load(text=QUICK_START).catalogue.version == version
    assert len(version) == 12


def test_a_config_cannot_be_changed(load: Callable[..., Config]) -> None:
    """Frozen: requests in flight keep what they started with."""
    config = load(text=QUICK_START)
    with pytest.raises(FrozenInstanceError):
        config.version = "other"  # type: ignore[misc]


def test_a_mapping_loads_like_its_yaml(load: Callable[..., Config], merges: MergeCatalogue) -> None:
    """The embedded API writes the same configuration in Python."""
    mapping = {
        "version": 1,
        "workers": {
            "hello": {"target": "localhost:50051", "effect": "read"},
            "slow": {"target": "localhost:50052", "effect": "read"},
        },
        "plans": {
            "greet": {"budget": {"latency": "1s"}, "branches": {"hello": {"required": True}, "slow": {"soft_timeout": "200ms"}}}
        },
    }
    assert load_mapping(mapping, merges).version == load(text=QUICK_START).version


def test_local_workers_need_no_address(merges: MergeCatalogue) -> None:
    """A coroutine is where it is: it may be declared without a target, or not at all."""
    mapping = {"version": 1, "workers": {"a": {"effect": "read"}}, "plans": {"p": {"branches": {"a": {}, "b": {}}}}}
    catalogue = load_mapping(mapping, merges, local=("a", "b")).catalogue
    assert [node.worker for node in catalogue.plans["p"].nodes] == [Worker("a", policy=STANDARD), Worker("b", policy=STANDARD)]
    with pytest.raises(ConfigErrors) as errors:
        load_mapping(mapping, merges, name="mesh")
    assert [str(problem) for problem in errors.value.problems] == [
        "mesh workers.a.target: is missing: nobody knows where this worker is; expected a target, or a list of endpoints",
        "mesh plans.p.branches.b: unknown worker 'b'; expected a",
    ]


def test_a_file_is_named_as_it_was_given(tmp_path: Path, merges: MergeCatalogue) -> None:
    """Messages begin with the path that the user typed."""
    path = tmp_path / "f.yaml"
    path.write_text(QUICK_START.replace("1s", "1"))
    with pytest.raises(ConfigErrors, match=r"f\.yaml:4:29 plans\.greet\.budget\.latency: 1 has no unit") as errors:
        load_file(path, merges)
    assert str(errors.value).startswith(str(path))


@pytest.mark.parametrize(
    ("data", "message"),
    [(None, "cannot be read: No such file"), (b"a: 1\nb: \xff", "f.yaml:2:1: is not UTF-8"), (b" " * 5_000_000, "longer than")],
)
def test_unreadable_files_are_problems_too(tmp_path: Path, merges: MergeCatalogue, data: bytes | None, message: str) -> None:
    """Missing, not UTF-8, or far too long: the one exception, no other."""
    path = tmp_path / "f.yaml"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(ConfigErrors, match=message):
        load_file(path, merges)


def test_too_long_a_text_is_not_parsed(merges: MergeCatalogue) -> None:
    """The bound is on the text, before any work."""
    with pytest.raises(ConfigErrors, match="longer than"):
        load_text("#" * (2**20 + 1), filename="f", merges=merges)


def test_warnings_do_not_prevent_loading(load: Callable[..., Config]) -> None:
    """They are in the config, in the order of the text."""
    config = load(
        "slow: {target", "more: {target: 'm:1', effect: read}, slow: {target", text=QUICK_START.replace("200ms", "2s")
    )
    assert [(problem.severity, problem.line, problem.path) for problem in config.warnings] == [
        ("warning", 2, "workers.more"),
        ("warning", 4, "plans.greet.branches.slow.soft_timeout"),
    ]


def test_the_rules_that_look_at_what_has_come(load: Callable[..., Config]) -> None:
    """A predicate keeps its text, and the names of the attributes that it reads, sorted; the others are numbers."""
    text = "attributes.task != attributes.risk && coverage > 0.5"
    rules = f"[{{confidence: 0.9}}, {{predicate: '{text}', min_interval: 20ms}}, {{quiet: 50ms}}]"
    rule = load("until: all", f"until: {rules}").catalogue.plans["enrich"].completion
    assert rule.until == (Until(UntilKind.CONFIDENCE, 0.9), Until(UntilKind.PREDICATE), Until(UntilKind.QUIET, 50 * MS))
    assert rule.predicate == Predicate(text, ("risk", "task"), 20 * MS)
    alone = load("until: all", "until: {predicate: 'true'}").catalogue.plans["enrich"].completion
    assert alone.predicate == Predicate("true")

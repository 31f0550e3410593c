"""Workers and the process: addresses, limits, faults and overload as the values that run."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dispatcher.config import Config, MergeCatalogue, ServerConfig, load_mapping
from dispatcher.config.problems import Problem
from dispatcher.model.plan import Effect, Worker
from dispatcher.model.policy import (
    BUILT_IN,
    HEDGED,
    NO_LIMIT,
    STANDARD,
    FaultRule,
    IdempotencyRule,
    LimitRule,
    OverloadRule,
    RateRule,
    Thresholds,
)
from fanmesh.model.fault import Code
from fanmesh.model.times import MS, SECOND

Load = Callable[..., Config]

PHONE = '{target: "phone:50051", effect: read}'


def worker(load: Load, new: str) -> Worker:
    """The worker that is written so."""
    return load(PHONE, f"{{{new}}}").catalogue.workers["phone"]


def test_a_worker_has_no_limit_and_no_faults_by_itself(load: Load) -> None:
    """Whatever is not asked for is off."""
    phone = worker(load, 'target: "phone:50051", effect: read')
    assert phone == Worker("phone", "dns:///phone:50051", policy=STANDARD)
    assert (phone.limit, phone.faults, phone.opaque, phone.idempotent) == (NO_LIMIT, None, False, False)


@pytest.mark.parametrize(
    ("keys", "effect", "idempotent", "repeatable"),
    [
        ("effect: read", Effect.READ, False, True),
        ("effect: write", Effect.WRITE, False, False),
        ("effect: write, idempotent: true", Effect.WRITE, True, True),
    ],
)
def test_a_write_may_be_repeated_only_if_it_says_so(
    load: Load,
    keys: str,
    effect: Effect,
    idempotent: bool,  # noqa: FBT001
    repeatable: bool,  # noqa: FBT001
) -> None:
    """`effect` and `idempotent` decide together."""
    phone = worker(load, f"target: 'phone:1', {keys}")
    assert (phone.effect, phone.idempotent, phone.repeatable) == (effect, idempotent, repeatable)


@pytest.mark.parametrize(
    ("keys", "target", "opaque"),
    [
        ("target: 'a:1'", "dns:///a:1", False),
        ("target: 'a:1', endpoints: resolve", "dns:///a:1", False),
        ("target: 'a:1', endpoints: opaque", "dns:///a:1", True),
        ("target: 'xds:///a'", "xds:///a", True),
        ("target: 'xds:///a', endpoints: resolve", "xds:///a", True),
        ("target: 'unix:/a'", "unix:/a", True),
        ("endpoints: ['a:1']", "", False),
    ],
)
def test_what_cannot_be_resolved_is_one_endpoint(load: Load, keys: str, target: str, opaque: bool) -> None:  # noqa: FBT001
    """`opaque` by word, and always for sockets and names of a mesh, which are passed on as they are."""
    phone = worker(load, f"{keys}, effect: read")
    assert (phone.target, phone.opaque) == (target, opaque)


@pytest.mark.parametrize(
    ("keys", "transport"),
    [
        ("target: 'a:1'", ""),
        ("target: 'a:1', transport: null", ""),
        ("target: 'a:1', transport: fast", "fast"),
        ("target: 'a:1', transport: grpcio", "grpcio"),
        ("target: 'xds:///a'", "grpcio"),
        ("target: 'xds:///a', transport: grpcio", "grpcio"),
    ],
)
def test_a_worker_has_its_servers_transport_unless_it_needs_another(load: Load, keys: str, transport: str) -> None:
    """Only grpcio knows xds."""
    assert worker(load, f"{keys}, effect: read").transport == transport


def test_xds_over_the_fast_transport_is_refused(wrong: Callable[..., list[Problem]]) -> None:
    """When the file is read, and not when the first call fails."""
    (problem,) = wrong('{target: "phone:50051", effect: read}', '{target: "xds:///a", effect: read, transport: fast}')
    assert (problem.path, problem.message) == ("workers.phone.transport", "fast knows no xds: targets")


def test_the_servers_transport_is_nobodys_unless_given(load: Load) -> None:
    """Then the environment, or the program, names it."""
    assert load().server.transport == ""
    assert load("routes:", "server: {transport: fast}\nroutes:").server.transport == "fast"


def test_nothing_is_compressed_unless_the_file_says_so(load: Load) -> None:
    """Each direction by itself: what the server answers, and what a worker is sent."""
    assert (load().server.compression, worker(load, "target: 'a:1', effect: read").compression) == ("none", "none")
    config = load("routes:", "server: {compression: gzip}\nroutes:")
    assert (config.server.compression, config.catalogue.workers["phone"].compression) == ("gzip", "none")
    config = load(PHONE, '{target: "phone:50051", effect: read, compression: gzip}')
    assert (config.server.compression, config.catalogue.workers["phone"].compression) == ("none", "gzip")
    assert config.version != load().version


@pytest.mark.parametrize("value", ["zip", "true", "null", "GZIP", "[gzip]"])
def test_another_compression_is_refused_by_name(wrong: Callable[..., list[Problem]], value: str) -> None:
    """With the two that there are."""
    (problem,) = wrong(PHONE, f'{{target: "phone:50051", effect: read, compression: {value}}}')
    assert (problem.path, problem.expected) == ("workers.phone.compression", "none or gzip")
    (problem,) = wrong("routes:", f"server: {{compression: {value}}}\nroutes:")
    assert (problem.path, problem.expected) == ("server.compression", "none or gzip")


@pytest.mark.parametrize(
    ("limit", "rule"),
    [
        ("{}", NO_LIMIT),
        ("null", NO_LIMIT),
        ("{in_flight: 64}", LimitRule(64, 64)),
        ("{in_flight: 64, queue: 0}", LimitRule(64, 0)),
        ("{in_flight: 64, queue: 100, endpoint_in_flight: 16}", LimitRule(64, 100, 16)),
        ("{endpoint_in_flight: 16}", LimitRule(None, 0, 16)),
        ("{rate: {per_second: 100}}", LimitRule(rate=RateRule(100.0, 10))),
        ("{rate: {per_second: 101}}", LimitRule(rate=RateRule(101.0, 11))),
        ("{rate: {per_second: 0.5}}", LimitRule(rate=RateRule(0.5, 1))),
        ("{rate: {per_second: 100, burst: 1}}", LimitRule(rate=RateRule(100.0, 1))),
    ],
)
def test_limits(load: Load, limit: str, rule: LimitRule) -> None:
    """As many wait as may be called, unless said otherwise; a tenth of a second's calls may come at once."""
    assert worker(load, f"target: 'phone:1', effect: read, limit: {limit}").limit == rule


@pytest.mark.parametrize(
    ("faults", "rule"),
    [
        ("null", None),
        ("{}", None),
        ("{seed: 3, headers: true}", None),
        ("{delay: {percent: 20, of: 100ms}}", FaultRule(delay_share=0.2, delay=100 * MS)),
        ("{abort: {percent: 10}}", FaultRule(abort_share=0.1)),
        ("{abort: {percent: 0.1, code: INTERNAL}}", FaultRule(abort_share=0.001, abort_code=Code.INTERNAL)),
        (
            "{delay: {percent: 100, of: 1s}, abort: {percent: 5, code: ABORTED}, seed: 7, headers: true}",
            FaultRule(1.0, SECOND, 0.05, Code.ABORTED, 7, True),
        ),
    ],
)
def test_faults(load: Load, faults: str, rule: FaultRule | None) -> None:
    """Percent become shares; where no fault is asked for, nothing is put into the stack."""
    assert worker(load, f"target: 'phone:1', effect: read, faults: {faults}").faults == rule


def test_coroutines_have_the_default_policy(merges: MergeCatalogue) -> None:
    """Those that the configuration does not mention, too: they only read."""
    mapping = {"version": 1, "default_policy": "hedged", "workers": {}, "plans": {"p": {"branches": {"a": {}}}}}
    config = load_mapping(mapping, merges, local=("a",))
    assert (config.catalogue.workers, config.warnings) == ({"a": Worker("a", policy=HEDGED)}, ())


def test_the_version_follows_the_default_policy_of_coroutines(merges: MergeCatalogue) -> None:
    """They stand nowhere else in the file."""
    mapping = {"version": 1, "workers": {}, "plans": {"p": {"branches": {"a": {}}}}}
    versions = {name: load_mapping({**mapping, "default_policy": name}, merges, local=("a",)).version for name in BUILT_IN}
    assert len({*versions.values(), load_mapping(mapping, merges, local=("a",)).version}) == 3


def test_a_coroutine_is_one_endpoint(merges: MergeCatalogue) -> None:
    """To hedge it by name can never act."""
    workers = {"a": {"effect": "read", "policy": "hedged"}}
    mapping = {"version": 1, "workers": workers, "plans": {"p": {"branches": {"a": {}}}}}
    (problem,) = load_mapping(mapping, merges, local=("a",)).warnings
    assert (problem.path, problem.message) == (
        "workers.a.policy",
        "the hedge of policy hedged can never act: there is no second endpoint",
    )


def server(load: Load, keys: str) -> ServerConfig:
    """The settings of a process that is written so."""
    return load("routes:", f"server: {{{keys}}}\nroutes:").server


def test_the_process_protects_itself_by_default(load: Load) -> None:
    """By lag alone: no number of requests and no memory is known that would suit every machine."""
    assert server(load, "").overload == OverloadRule()
    assert server(load, "overload: {}, idempotency: {}") == server(load, "")
    assert server(load, "").idempotency == IdempotencyRule()


def test_every_key_of_the_process_reaches_its_place(load: Load) -> None:
    """Each set to something other than its default; null = never for this reason."""
    lag = "lag: {hedges: 60ms, optional: null, reject: 300ms}"
    memory = "memory: {limit: 2GiB, hedges: null, optional: 0.5, reject: 0.6}"
    kept = "idempotency: {ttl: 1m, max_entries: 5, max_bytes: 1MiB}"
    given = server(load, f"max_in_flight: 1000, overload: {{{lag}, {memory}}}, {kept}")
    assert given.overload == OverloadRule(1000, Thresholds(6e7, None, 3e8), Thresholds(None, 0.5, 0.6), 2 * 2**30)
    assert given.idempotency == IdempotencyRule(60 * SECOND, 5, 1 << 20)


@pytest.mark.parametrize("keys", ["lag: {hedges: 100ms}", "memory: {limit: 1GiB, reject: 0.9}", "memory: {limit: 1GiB}"])
def test_two_things_may_be_given_up_at_once(load: Load, keys: str) -> None:
    """Thresholds rise, and may be equal."""
    assert load("routes:", f"server: {{overload: {{{keys}}}}}\nroutes:").warnings == ()


@pytest.mark.parametrize(
    ("new", "same"),
    [
        ("policy: standard", True),
        ("policy: none", False),
        ("limit: {}", True),
        ("limit: {in_flight: 3}", False),
        ("faults: {delay: {percent: 1, of: 1s}}", False),
    ],
)
def test_the_version_follows_what_is_done_for_a_worker(load: Load, new: str, same: bool) -> None:  # noqa: FBT001
    """A default that is spelled out changes nothing; any other policy, limit or fault does."""
    assert (load(PHONE, f"{PHONE[:-1]}, {new}}}").version == load().version) is same


@pytest.mark.parametrize(
    ("policies", "same"),
    [
        ("a: {extends: b, retry: {max_attempts: 5}}, b: {retry: {max_attempts: 5}}", True),
        ("a: {extends: b, retry: {max_attempts: 3}}, b: {retry: {max_attempts: 5}}", False),
        ("a: {extends: b, retry: null}, b: {retry: {max_attempts: 5}}", False),
        ("a: {extends: b, retry: {}}, b: {retry: {max_attempts: 5}}, unused: {}", True),
    ],
)
def test_the_version_follows_what_policies_come_to(load: Load, policies: str, same: bool) -> None:  # noqa: FBT001
    """However they are written: a default of a section is not what the extended policy says."""
    first = "a: {retry: {max_attempts: 5}}"
    versions = [
        load("version: 1", f"version: 1\ndefault_policy: a\npolicies: {{{text}}}").version for text in (first, policies)
    ]
    assert (versions[0] == versions[1]) is same

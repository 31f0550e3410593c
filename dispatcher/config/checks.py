"""What the parts of a configuration say about each other, outside plans: names, routes, the process."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from dispatcher.config.check_plans import check_plan
from dispatcher.config.check_policies import check_policies, rising
from dispatcher.config.check_workers import check_worker
from dispatcher.config.parse import Parsed
from dispatcher.config.placing import placed, workers_of
from dispatcher.config.policies import Policies
from dispatcher.config.problems import Path, listed, near
from dispatcher.config.quantities import show_duration
from dispatcher.config.shape import FileShape

ANYWHERE: Final = frozenset({"0.0.0.0", "[::]"})  # noqa: S104  (read, not bound)
"""Hosts to listen on that take the port of every other one."""


def check(parsed: Parsed, policies: Policies, local: Collection[str] = ()) -> None:
    """Add to `parsed.problems` whatever does not fit together. `local`: workers that are given as coroutines."""
    if (shape := parsed.shape) is None:
        return
    workers = list(dict.fromkeys((*parsed.names("workers"), *local)))
    parsed.no_duplicates(shape.attributes, ("attributes",), "attribute")
    if not workers:
        parsed.complain(("workers",), "there is no worker", "at least one")
    if not parsed.names("plans"):
        parsed.complain(("plans",), "there is no plan", "at least one")
    for name, worker in shape.workers.items():
        check_worker(worker, ("workers", name), shape, policies, parsed, local=name in local)
    for name, plan in shape.plans.items():
        check_plan(plan, ("plans", name), workers, parsed)
    check_policies(shape, policies, parsed)
    _routes(shape, parsed)
    _addresses(shape, parsed)
    _overload(shape, parsed)
    for name in shape.dev:
        if name not in workers:
            parsed.complain(("dev", name), f"unknown worker {name!r}{near(name, workers)}", listed(workers), at_key=True)
    _unused(shape, local, parsed)


def _routes(shape: FileShape, parsed: Parsed) -> None:
    plans = parsed.names("plans")
    caught_all = None
    for position, route in enumerate(shape.routes):
        path: Path = ("routes", position)
        if route.plan not in plans:
            parsed.complain((*path, "plan"), f"unknown plan {route.plan!r}{near(route.plan, plans)}", listed(plans))
        if caught_all is not None:
            parsed.complain(
                path, f"never reached: routes[{caught_all}] has no `if` and takes everything", "that one to be the last"
            )
        elif route.condition is None and not parsed.is_cut((*path, "if")):
            caught_all = position


def _addresses(shape: FileShape, parsed: Parsed) -> None:
    listen, metrics = shape.server.listen, shape.server.metrics
    if metrics is None or parsed.is_cut(("server", "listen")) or parsed.is_cut(("server", "metrics")):
        return
    (host, _, port), (other, _, same) = listen.rpartition(":"), metrics.rpartition(":")
    if port == same != "0" and (host == other or ANYWHERE & {host, other}):
        told = f"{listen} is taken by server.metrics, which is {metrics}"
        parsed.complain(("server", "listen"), told, "two addresses, or metrics: null")


def _overload(shape: FileShape, parsed: Parsed) -> None:
    path: Path = ("server", "overload")
    if any(cut[:2] == path for cut in parsed.cut):
        return
    lag, memory = shape.server.overload.lag, shape.server.overload.memory
    lags = {"hedges": lag.hedges, "optional": lag.optional, "reject": lag.reject}
    rising((*path, "lag"), lag, {name: (ns, show_duration(ns)) for name, ns in lags.items() if ns is not None}, parsed)
    shares = {"hedges": memory.hedges, "optional": memory.optional, "reject": memory.reject}
    rising((*path, "memory"), memory, {name: (x, f"{x:g}") for name, x in shares.items() if x is not None}, parsed)
    if memory.limit is None and memory.model_fields_set - {"limit"}:
        message = "no effect: memory is not looked at without a limit"
        parsed.complain((*path, "memory"), message, "limit, such as 2GiB", warning=True, at_key=True)


def _unused(shape: FileShape, local: Iterable[str], parsed: Parsed) -> None:
    if parsed.cut or any(problem.severity == "error" for problem in parsed.problems):
        return  # it may be meant where something is wrong
    placings = [item for plan in shape.plans.values() for item in placed(plan, ()).items()]
    used = {worker for name, branch in placings for worker in workers_of(name, branch)}
    for name in local:
        if name not in used and name not in shape.workers:
            known = {*used, *shape.workers}
            parsed.complain(("workers",), f"the local worker {name!r} is none of this configuration{near(name, known)}")
    for name in shape.workers:
        if name not in used and name not in local:
            parsed.complain(("workers", name), "no plan uses this worker", warning=True, at_key=True)

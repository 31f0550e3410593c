"""What the parts of a configuration say about each other, outside plans: names, addresses, routes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from dispatcher.config.check_plans import check_plan
from dispatcher.config.parse import Parsed
from dispatcher.config.problems import Path, listed, near
from dispatcher.config.shape import FileShape, WorkerShape


def check(parsed: Parsed, local: Collection[str] = ()) -> None:
    """Add to `parsed.problems` whatever does not fit together. `local`: workers that are given as coroutines."""
    if (shape := parsed.shape) is None:
        return
    workers = list(dict.fromkeys((*parsed.names("workers"), *local)))
    _no_duplicates(shape.attributes, ("attributes",), "attribute", parsed)
    if not workers:
        parsed.complain(("workers",), "there is no worker", "at least one")
    if not parsed.names("plans"):
        parsed.complain(("plans",), "there is no plan", "at least one")
    for name, worker in shape.workers.items():
        _worker(worker, ("workers", name), shape, parsed, local=name in local)
    for name, plan in shape.plans.items():
        check_plan(plan, ("plans", name), workers, parsed)
    _routes(shape, parsed)
    for name in shape.dev:
        if name not in workers:
            parsed.complain(("dev", name), f"unknown worker {name!r}{near(name, workers)}", listed(workers), at_key=True)
    _unused(shape, local, parsed)


def _worker(worker: WorkerShape, path: Path, shape: FileShape, parsed: Parsed, *, local: bool) -> None:
    fixed = isinstance(worker.endpoints, list)
    if worker.target is None and not fixed and not local and not parsed.is_cut((*path, "endpoints")):
        parsed.complain((*path, "target"), "is missing: nobody knows where this worker is", "a target, or a list of endpoints")
    if isinstance(worker.endpoints, list):
        if not worker.endpoints:
            parsed.complain((*path, "endpoints"), "the list is empty", "at least one host:port, or resolve")
        _no_duplicates(worker.endpoints, (*path, "endpoints"), "endpoint", parsed)
        if worker.target and worker.target.startswith("unix:"):
            parsed.complain((*path, "endpoints"), "a unix: target is one endpoint", "resolve")
    _no_duplicates(worker.attributes, (*path, "attributes"), "attribute", parsed)
    if parsed.is_cut(("attributes",)):
        return
    for position, name in enumerate(worker.attributes):
        if name not in shape.attributes:
            message = f"unknown attribute {name!r}{near(name, shape.attributes)}"
            parsed.complain((*path, "attributes", position), message, listed(shape.attributes))


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


def _no_duplicates(names: Sequence[str], path: Path, kind: str, parsed: Parsed) -> None:
    seen: Counter[str] = Counter()
    for position, name in enumerate(names):
        seen[name] += 1
        if seen[name] == 2:
            parsed.complain((*path, position), f"the {kind} {name} is given twice")


def _unused(shape: FileShape, local: Iterable[str], parsed: Parsed) -> None:
    if parsed.cut or any(problem.severity == "error" for problem in parsed.problems):
        return  # it may be meant where something is wrong
    used = {branch.worker or name for plan in shape.plans.values() for name, branch in plan.branches.items()}
    for name in local:
        if name not in used and name not in shape.workers:
            known = {*used, *shape.workers}
            parsed.complain(("workers",), f"the local worker {name!r} is none of this configuration{near(name, known)}")
    for name in shape.workers:
        if name not in used and name not in local:
            parsed.complain(("workers", name), "no plan uses this worker", warning=True, at_key=True)

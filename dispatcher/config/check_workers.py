"""What the parts of a worker say about each other: where it is, what may be done for its calls, and how much of it is used."""

from __future__ import annotations

from dispatcher.config.addresses import is_one
from dispatcher.config.check_policies import check_policy_name
from dispatcher.config.methods import check_method
from dispatcher.config.parse import Parsed
from dispatcher.config.policies import Policies, may_repeat
from dispatcher.config.problems import Path, listed, near
from dispatcher.config.shape import FileShape, WorkerShape
from dispatcher.config.shape_protection import FaultsShape, LimitShape


def check_worker(worker: WorkerShape, path: Path, shape: FileShape, policies: Policies, parsed: Parsed, *, local: bool) -> None:
    """Add to `parsed.problems` what does not fit together within the worker at `path`. `local`: it is a coroutine."""
    _addresses(worker, path, parsed, local=local)
    _attributes(worker, path, shape, parsed)
    parsed.no_duplicates(worker.metadata, (*path, "metadata"), "metadata key")
    check_method(worker, path, parsed)
    _policy(worker, path, shape, policies, parsed, local=local)
    if worker.idempotent and worker.effect == "read" and not parsed.is_cut((*path, "effect")):
        parsed.complain((*path, "idempotent"), "no effect: a read may be repeated anyway", warning=True)
    if worker.limit is not None:
        _limit(worker.limit, (*path, "limit"), parsed)
    if worker.faults is not None:
        _faults(worker.faults, (*path, "faults"), parsed)


def _addresses(worker: WorkerShape, path: Path, parsed: Parsed, *, local: bool) -> None:
    fixed = isinstance(worker.endpoints, list)
    if worker.target is None and not fixed and not local and not parsed.is_cut((*path, "endpoints")):
        parsed.complain((*path, "target"), "is missing: nobody knows where this worker is", "a target, or a list of endpoints")
    if isinstance(worker.endpoints, list):
        if not worker.endpoints:
            parsed.complain((*path, "endpoints"), "the list is empty", "at least one host:port, or resolve")
        parsed.no_duplicates(worker.endpoints, (*path, "endpoints"), "endpoint")
        if worker.target and is_one(worker.target):
            scheme = worker.target.partition(":")[0]
            parsed.complain((*path, "endpoints"), f"the {scheme}: target is one endpoint", "no list, or no target")
    if worker.transport == "fast" and worker.target is not None and worker.target.startswith("xds:"):
        parsed.complain((*path, "transport"), "fast knows no xds: targets", "grpcio")


def _attributes(worker: WorkerShape, path: Path, shape: FileShape, parsed: Parsed) -> None:
    parsed.no_duplicates(worker.attributes, (*path, "attributes"), "attribute")
    if parsed.is_cut(("attributes",)):
        return
    for position, name in enumerate(worker.attributes):
        if name not in shape.attributes:
            message = f"unknown attribute {name!r}{near(name, shape.attributes)}"
            parsed.complain((*path, "attributes", position), message, listed(shape.attributes))


def _policy(worker: WorkerShape, path: Path, shape: FileShape, policies: Policies, parsed: Parsed, *, local: bool) -> None:
    name = policies.named_by(worker)
    own = worker.policy is not None
    where: Path = (*path, "policy")
    if own:
        check_policy_name(name, where, parsed)
    policy = policies.named.get(name)
    if policy is None or parsed.is_cut((*path, "idempotent")):
        return
    if not may_repeat(worker):
        if policy.hedge is not None and own:
            expected = "a policy without hedge, or idempotent: true"
            parsed.complain(where, f"policy {name} hedges, and this write must not be made twice", expected)
        elif policy.hedge is not None:
            message = f"the hedge of default_policy {name} is off: this write must not be made twice"
            parsed.complain(path, message, "idempotent: true, or a policy without hedge", warning=True, at_key=True)
        elif own and _names_failures(name, shape, policies):
            message = f"policy {name} names failures that do not apply: this write is made again only if it was never sent"
            parsed.complain(where, message, "idempotent: true, or another policy", warning=True)
    elif own and policy.hedge is not None and (local or (isinstance(worker.endpoints, list) and len(worker.endpoints) == 1)):
        message = f"the hedge of policy {name} can never act: there is no second endpoint"
        parsed.complain(where, message, "another endpoint, or a policy without hedge", warning=True)


def _names_failures(name: str, shape: FileShape, policies: Policies) -> bool:
    """Whether the file says which failures this policy retries; the built-in choice is made for reads and not worth a word."""
    retries = [shape.policies[member].retry for member in policies.lineages.get(name, ())]
    return any(retry is not None and "codes" in retry.model_fields_set for retry in retries)


def _limit(limit: LimitShape, path: Path, parsed: Parsed) -> None:
    if limit.queue is not None and limit.in_flight is None and not parsed.is_cut((*path, "in_flight")):
        parsed.complain((*path, "queue"), "nothing waits without in_flight, the number of calls at once", "in_flight beside it")
    if limit.in_flight is not None and limit.endpoint_in_flight is not None and limit.endpoint_in_flight > limit.in_flight:
        message = (
            f"can never act: {limit.endpoint_in_flight} is above in_flight {limit.in_flight}, which holds for all endpoints"
        )
        parsed.complain((*path, "endpoint_in_flight"), message, f"at most {limit.in_flight}", warning=True)


def _faults(faults: FaultsShape, path: Path, parsed: Parsed) -> None:
    if any(cut[: len(path)] == path for cut in parsed.cut):
        return
    none = faults.delay is None and faults.abort is None
    message = "no effect: neither delay nor abort is given" if none else "faults are injected on purpose"
    parsed.complain(path, message, warning=True, at_key=True)

"""Which plan a request runs: the one it names, or the first route whose condition holds."""

from __future__ import annotations

from difflib import get_close_matches
from typing import NamedTuple

from dispatcher.flow.ports import RequestObserver
from dispatcher.model.plan import Catalogue, Plan
from dispatcher.model.reading import Reading, Unreadable
from dispatcher.model.request import Refusal, Request
from fanmesh.model.fault import Code


class Routed(NamedTuple):
    """The plan, and the route that chose it (empty: the caller named it)."""

    plan: Plan
    route: str


def route(catalogue: Catalogue, request: Request, observer: RequestObserver) -> Routed | Refusal:
    """The plan for `request`, which must have the branches that the caller insists on.

    A route whose condition cannot be evaluated does not match. Raises Malformed if one reads an input that is malformed.
    """
    chosen = _chosen(catalogue, request, observer)
    if isinstance(chosen, Refusal) or not request.tightening.required:
        return chosen
    return _without(chosen.plan, request.tightening.required) or chosen


def _chosen(catalogue: Catalogue, request: Request, observer: RequestObserver) -> Routed | Refusal:
    if request.plan:
        plan = catalogue.plans.get(request.plan)
        return Routed(plan, "") if plan is not None else _unknown(request.plan, catalogue)
    reading = Reading(request.input, request.attributes)
    for candidate in catalogue.routes:
        if candidate.condition is not None:
            holds = candidate.condition(reading)
            if isinstance(holds, Unreadable):
                observer.expression_error("route")
                continue
            if not holds:
                continue
        return Routed(catalogue.plans[candidate.plan], candidate.source)
    told = "no plan was named, and " + ("no route matched" if catalogue.routes else "there are no routes")
    return Refusal(Code.NOT_FOUND, "NO_ROUTE", f"{told}; plans: {', '.join(sorted(catalogue.plans))}")


def _unknown(name: str, catalogue: Catalogue) -> Refusal:
    close = get_close_matches(name, catalogue.plans, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"plans: {', '.join(sorted(catalogue.plans))}"
    return Refusal(Code.NOT_FOUND, "PLAN_UNKNOWN", f"there is no plan {name!r}; {hint}", (("plan", name),))


def _without(plan: Plan, required: frozenset[str]) -> Refusal | None:
    if not (unknown := required - {node.id for node in plan.nodes}):
        return None
    message = f"accept.required: plan {plan.name} has no branch {', '.join(sorted(unknown))}"
    return Refusal(Code.INVALID_ARGUMENT, "INPUT_INVALID", message, (("field", "accept.required"),))

"""Models → Catalogue: the plans that will run, with their expressions compiled and their merges asked.

Compiling is the last check, so it is done even when earlier ones have failed: whoever edits the file wants the typo in the
expression in the same list as the misspelt worker. The result counts only if no problem was found.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from dispatcher.config.build_fallbacks import check_values
from dispatcher.config.build_nodes import build_nodes, check_paths
from dispatcher.config.build_workers import build_workers
from dispatcher.config.check_plans import until_places, until_rules
from dispatcher.config.expressions import condition, predicate
from dispatcher.config.merges import MergeCatalogue
from dispatcher.config.methods import check_methods, read_methods
from dispatcher.config.parse import Parsed
from dispatcher.config.placing import SYNTHESIS, placed
from dispatcher.config.policies import Policies
from dispatcher.config.problems import Path
from dispatcher.config.shape import FileShape, PlanShape
from dispatcher.config.shape_branches import SynthesisShape
from dispatcher.config.shape_completion import ConfidenceShape, CountShape, CoverageShape, PredicateShape, QuietShape, Rule
from dispatcher.config.version import version
from dispatcher.model.plan import Accepts, Catalogue, Node, Plan, Route, Worker, accept_any, unfit
from fanmesh.model.completion import CompletionRule, Grace, Predicate, Until, UntilKind
from fanmesh.model.gather import gather
from fanmesh.model.merge import MergeSpec
from fanmesh.model.states import IfMissing, OnFailure


def build(shape: FileShape, parsed: Parsed, policies: Policies, merges: MergeCatalogue, local: Collection[str]) -> Catalogue:
    """The catalogue. What is wrong in expressions, merges and methods is added to `parsed.problems`."""
    methods = read_methods(shape, parsed)
    if merges.describe is not None:
        check_methods(shape, methods, merges.describe, parsed, local)
    declared = build_workers(shape, policies, methods)
    workers = {name: Worker(name, policy=policies.of_local()) for name in local} | declared
    plans = {name: _plan(name, plan, workers, parsed, merges) for name, plan in shape.plans.items()}
    routes = tuple(
        Route(
            route.plan,
            condition(route.condition, ("routes", position, "if"), (), parsed).condition,
            route.condition or "default",
        )
        for position, route in enumerate(shape.routes)
    )
    return Catalogue(plans, workers, routes, tuple(shape.attributes), version(shape, declared, policies))


def _plan(name: str, plan: PlanShape, workers: dict[str, Worker], parsed: Parsed, merges: MergeCatalogue) -> Plan:
    path: Path = ("plans", name)
    nodes = build_nodes(plan, path, workers, parsed)
    rule = _completion(plan, path, parsed)
    _reported(plan, nodes, path, parsed)
    spec, accepts = _merge(_spec(plan), plan, path, parsed, merges)
    built = Plan(name, nodes, plan.budget.latency, plan.merge_reserve, rule, spec, accepts or accept_any)
    check_paths(built, path, parsed)
    if accepts is None:
        return built
    branches = placed(plan, path)
    for node in built.nodes:
        check_values(node, branches[node.id], spec.kind, accepts, parsed)
        where = branches[node.id].path
        if node.each is not None and (why := accepts(node.id, gather(node.each.gather, []))) is not None:
            parsed.complain((*where, "for_each"), f"merge {spec.kind} cannot take it: {why}", at_key=True)
        elif node.if_missing is IfMissing.USE and (why := unfit(node, node.default, accepts)) is not None:
            parsed.complain((*where, "if_missing", "use"), f"merge {spec.kind} cannot take it: {why}")
    return built


def _completion(plan: PlanShape, path: Path, parsed: Parsed) -> CompletionRule:
    complete = plan.complete
    return CompletionRule(
        until=tuple(_until(rule) for rule in until_rules(plan)),
        soft=complete.soft_timeout,
        grace=Grace(complete.grace.min, complete.grace.max),
        min_success=plan.accept.min_success,
        min_coverage=plan.accept.min_coverage,
        on_failure=OnFailure[plan.on_branch_failure.upper()],
        predicate=_predicate(plan, path, parsed),
    )


def _predicate(plan: PlanShape, path: Path, parsed: Parsed) -> Predicate | None:
    """What the rule asks, if there is one. Each that is written is looked at, though only one may be."""
    asked = [(rule, where) for rule, where in until_places(plan, path) if isinstance(rule, PredicateShape)]
    found = [predicate(rule.predicate, rule.min_interval, (*where, "predicate"), parsed) for rule, where in asked]
    return found[0] if found else None


def _reported(plan: PlanShape, nodes: Sequence[Node], path: Path, parsed: Parsed) -> None:
    """Warn of a confidence that nobody can report."""
    if all(node.worker.method is not None for node in nodes):
        for rule, where in until_places(plan, path):
            if isinstance(rule, ConfidenceShape):
                message = "no effect: every branch calls a foreign method, and these report no confidence"
                parsed.complain((*where, "confidence"), message, warning=True)


def _until(rule: Rule) -> Until:
    match rule:
        case CountShape(count=count):
            return Until(UntilKind.COUNT, count)
        case CoverageShape(coverage=coverage):
            return Until(UntilKind.COVERAGE, coverage)
        case PredicateShape():
            return Until(UntilKind.PREDICATE)
        case ConfidenceShape(confidence=confidence):
            return Until(UntilKind.CONFIDENCE, confidence)
        case QuietShape(quiet=quiet):
            return Until(UntilKind.QUIET, quiet)
        case name:
            return Until(UntilKind(name))


def _spec(plan: PlanShape) -> MergeSpec:
    if plan.merge is None:
        return MergeSpec("best_confidence" if plan.cascade else "collect")
    if isinstance(plan.merge, str):
        return MergeSpec(plan.merge)
    if isinstance(plan.merge, SynthesisShape):
        return MergeSpec(SYNTHESIS, {"branch": SYNTHESIS, "otherwise": plan.merge.synthesize.otherwise})
    ((kind, options),) = plan.merge.items()
    return MergeSpec(kind, options)


def _merge(
    spec: MergeSpec, plan: PlanShape, path: Path, parsed: Parsed, merges: MergeCatalogue
) -> tuple[MergeSpec, Accepts | None]:
    """The merge, with its function if it names one, and what it accepts; None if it is wrong."""
    where: Path = (*path, "merge") if plan.merge is None or isinstance(plan.merge, str) else (*path, "merge", spec.kind)
    if plan.merge == SYNTHESIS:
        parsed.complain(where, "nobody makes one answer of all", "{synthesize: {worker: w}}")
        return spec, None
    try:
        spec = merges.resolve(spec)
        return spec, merges.compile(spec, list(placed(plan, path))).accepts
    except ValueError as error:
        parsed.complain((*where, *getattr(error, "path", ())), str(getattr(error, "message", error)))
        return spec, None

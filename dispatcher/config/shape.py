"""The configuration file as pydantic models: which keys there are, of which kind, with which defaults.

What one key can say about itself is checked here; what two keys say about each other is not (see checks_*.py), because
pydantic would report it for the whole section instead of for the key that is wrong.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, Tag, WithJsonSchema

from dispatcher.config.shape_cache import CacheShape
from dispatcher.config.shape_policies import PolicyShape
from dispatcher.config.shape_protection import FaultsShape, IdempotencyShape, LimitShape, OverloadShape
from dispatcher.config.shape_types import (
    Aggregator,
    Cel,
    Count,
    Duration,
    Function,
    HostPort,
    Id,
    Listen,
    MetadataKey,
    MethodName,
    PositiveDuration,
    Ratio,
    Section,
    Size,
    Target,
    Template,
    Tolerance,
    choice,
    only_key,
)


class WorkerShape(Section):
    """A service that answers."""

    target: Target | None = Field(default=None, description="Where it is; dns if it has no scheme. Not needed beside a list.")
    effect: Literal["read", "write"] = Field(
        description="What a call does to the world. A write is repeated only if it was never sent."
    )
    idempotent: bool = Field(default=False, description="Making this write twice is as good as once, so it may be repeated.")
    endpoints: Annotated[
        Annotated[Literal["resolve", "opaque"], Tag("(name)")]
        | Annotated[list[HostPort], Field(json_schema_extra={"uniqueItems": True, "minItems": 1}), Tag("(list)")],
        choice(lambda v: "(list)" if isinstance(v, list) else "(name)", "resolve, opaque or a list"),
    ] = Field(
        default="resolve",
        description="Its addresses: the target resolved; a list; or opaque: the target is one endpoint, as unix: and xds: are.",
    )
    policy: Id | None = Field(default=None, description="What is done for its calls; `default_policy` if not given.")
    limit: LimitShape | None = Field(default=None, description="How much of it is used at most.")
    faults: FaultsShape | None = Field(default=None, description="Faults that are put in on purpose.")
    attributes: list[Id] = Field(default=[], description="Those attributes of a request that it is told.")
    metadata: list[MetadataKey] = Field(default=[], description="Keys of the caller's metadata that it is told.")
    stream: bool = Field(default=False, description="It answers in parts (ProcessStream) instead of once (Process).")
    method: MethodName | None = Field(
        default=None,
        description="Any gRPC method, called in the place of Fanmesh's: of a service that need not know of it.",
    )
    descriptors: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description="What `method` takes and returns: a FileDescriptorSet with its imports, relative to this file.",
    )
    reflection: bool = Field(default=False, description="Ask the server itself what `method` takes and returns.")
    transport: Literal["grpcio", "fast"] | None = Field(
        default=None, description="What carries its calls (see docs/transport.md); null = as `server.transport`."
    )


class UseShape(Section):
    """A value in the place of a missing answer."""

    use: Any = Field(description="The value that stands in, merged like an answer.")


class CountShape(Section):
    """Complete once that many branches have answered."""

    count: int = Field(ge=1, description="How many branches.")


class CoverageShape(Section):
    """Complete once that share of the weights has answered."""

    coverage: float = Field(gt=0, le=1, description="The share, above 0 and up to 1.")


class PredicateShape(Section):
    """Complete once an expression over the result so far holds."""

    predicate: Cel = Field(description="The expression; reads `merged`, `coverage`, `attributes`.")
    min_interval: Duration = Field(
        default="0s", validate_default=True, description="Shortest time between two evaluations; one that is due is put off."
    )


class ConfidenceShape(Section):
    """Complete once a branch is sure enough of what it has answered."""

    confidence: float = Field(gt=0, le=1, description="The confidence it reports, above 0 and up to 1.")


class QuietShape(Section):
    """Complete once nothing new has come for some time."""

    quiet: PositiveDuration = Field(description="How long; counted from the last answer or part of one.")


A_RULE = "all, first, required, {count: n}, {coverage: x}, {predicate: CEL}, {confidence: x} or {quiet: duration}"


def _asks(value: Any) -> bool:
    """The one rule that may have a second key."""
    return isinstance(value, dict) and "predicate" in value


UntilRule: TypeAlias = Annotated[
    Annotated[Literal["all", "first", "required"], Tag("(name)")]
    | Annotated[CountShape, Tag("(count)")]
    | Annotated[CoverageShape, Tag("(coverage)")]
    | Annotated[PredicateShape, Tag("(predicate)")]
    | Annotated[ConfidenceShape, Tag("(confidence)")]
    | Annotated[QuietShape, Tag("(quiet)")],
    choice(lambda v: "(name)" if isinstance(v, str) else "(predicate)" if _asks(v) else only_key(v), A_RULE),
]

Rule: TypeAlias = str | CountShape | CoverageShape | PredicateShape | ConfidenceShape | QuietShape
"""A rule of `until`, once it is read."""

IfMissingShape: TypeAlias = Annotated[
    Annotated[Literal["skip", "fail"], Tag("(name)")] | Annotated[UseShape, Tag("(use)")],
    choice(lambda v: "(name)" if isinstance(v, str) else only_key(v), "skip, fail or {use: value}"),
]


class EachShape(Section):
    """Call the branch's worker once for each item of a list."""

    items: Template = Field(description="The list; reads `input`, `attributes` and other `branches`.")
    key: Template = Field(
        default=None, description="What tells an item from others; reads `item`, `index`. Same ones are called once."
    )
    gather: Literal["list", "concat", "map"] = Field(
        default="list", description="What the answers become: a list; lists, joined to one; a map by `key`."
    )
    max_concurrency: Count | None = Field(default=None, description="Items that are called at once; all, if not given.")
    max_items: Count = Field(default=1000, description="With more items than that the branch fails.")
    tolerate: Tolerance | None = Field(
        default=None, description="How many items may fail, or how much of them. Not given: none if required, else all but one."
    )
    canary: Annotated[int, Field(ge=0)] = Field(
        default=0, description="So many items are called first, and the others only when one of these has answered."
    )


class FallbackShape(Section):
    """Who is asked when a branch's worker has failed: another worker, another branch of the plan, or nobody but a value."""

    worker: Id | None = Field(default=None, description="Another worker, with its own policy, limit and queue.")
    branch: Id | None = Field(
        default=None, description="Another branch of the plan, whose answer stands in; it is waited for if it has not ended."
    )
    use: Any = Field(default=None, description="A value; unlike a default it counts as an answer.")
    input: Template = Field(default=None, description="What the worker is sent; what the branch was, if not given.")
    output: Template = Field(
        default=None, description="What its answer becomes; of a worker, as the branch's own `output` says, if not given."
    )
    timeout: PositiveDuration | None = Field(default=None, description="From the worker's first send: then it has failed.")
    min_time: PositiveDuration | None = Field(
        default=None, description="With less time left it is not asked; 5ms if not given."
    )
    fallback: FallbackShape | None = Field(default=None, description="Who is asked when this one has failed, too.")


class BranchShape(Section):
    """One branch of a plan: a worker, and what its answer means to the plan."""

    worker: Id | None = Field(default=None, description="The worker that answers; the branch's own name if not given.")
    required: bool = Field(default=False, description="Without it the plan fails; it is waited for until its hard timeout.")
    weight: float = Field(default=1.0, gt=0, description="Its share of coverage.")
    soft_timeout: PositiveDuration | None = Field(default=None, description="From its first send: then nobody waits for it.")
    timeout: PositiveDuration | None = Field(
        default=None, description="From its first send: then it has failed, or its `fallback` is asked."
    )
    sla: PositiveDuration | None = Field(default=None, description="The expected answer time; reported, changes nothing.")
    if_missing: IfMissingShape = Field(
        default="skip", description="What its missing answer means: left out, a failed plan, or a value."
    )
    condition: Cel | None = Field(
        default=None,
        alias="if",
        description="It runs only if this holds; reads `input`, `attributes`, and `branches`, all of which have ended then.",
    )
    input: Template = Field(
        default=None, description="What it is sent; the request's input if not given. It waits for the `branches` it reads."
    )
    output: Template = Field(default=None, description="What its answer becomes; reads `output`, too.")
    min_time: PositiveDuration | None = Field(
        default=None, description="With less time left it is not tried; branches that it waits for leave it that much."
    )
    for_each: (
        Annotated[
            Annotated[EachShape, Tag("(options)")] | Annotated[str, Tag("(list)")],
            choice(lambda v: "(list)" if isinstance(v, str) else "(options)", "a list such as ${input.items}, or {items: …}"),
        ]
        | None
    ) = Field(default=None, description="It is called once for each item of this list.")
    allow_partial_input: bool = Field(
        default=False, description="What a broken stream left behind is good enough for this write to be fed with."
    )
    on_stream_failure: Literal["keep", "discard"] = Field(
        default="keep", description="The parts of a broken stream: merged, or not."
    )
    cache: CacheShape | None = Field(default=None, description="What is done for equal calls; each is made if not given.")
    fallback: FallbackShape | None = Field(
        default=None, description="Who is asked when its worker has failed: {worker: w}, {branch: b} or {use: value}."
    )


class StepShape(BranchShape):
    """One step of a cascade: a branch that is tried if no step before it was good enough."""

    branch: Id = Field(description="The branch's name.")
    stop_if: Cel | None = Field(
        default=None,
        description="Its answer is good enough if this holds: no further step. Reads `confidence`, `output`, `input`, "
        "`attributes`. Any answer is, if not given.",
    )


class SynthesizeShape(Section):
    """One more branch: it is given all the others' answers when those have ended, and its own is the result."""

    worker: Id = Field(description="The worker that makes one answer of all.")
    input: Template = Field(
        default=None,
        description="What it is sent; branch → answer of those that answered, if not given. Reads `branches`, all of them.",
    )
    output: Template = Field(default=None, description="What its answer becomes; reads `output`, too.")
    min_time: PositiveDuration | None = Field(
        default=None, description="The time that the others leave it: their deadline is that much before the request's stop."
    )
    timeout: PositiveDuration | None = Field(
        default=None, description="From its first send: then it has failed, or its `fallback` is asked."
    )
    sla: PositiveDuration | None = Field(default=None, description="The expected answer time; reported, changes nothing.")
    weight: float = Field(default=1.0, gt=0, description="Its share of coverage.")
    on_stream_failure: Literal["keep", "discard"] = Field(
        default="keep", description="The parts of a broken stream: merged, or not."
    )
    fallback: FallbackShape | None = Field(default=None, description="Who is asked when its worker has failed.")
    otherwise: (
        Annotated[
            Annotated[str, Tag("(name)")] | Annotated[dict[str, Any], Field(min_length=1, max_length=1), Tag("(options)")],
            choice(lambda v: "(name)" if isinstance(v, str) else "(options)", "a name or {name: options}"),
        ]
        | None
    ) = Field(default=None, description="The merge of the others' answers if it fails; the request fails, if not given.")


class SynthesisShape(Section):
    """A merge that is a branch."""

    synthesize: SynthesizeShape = Field(description="Who makes one answer of all.")


def _merge_arm(value: Any) -> str:
    match value:
        case str():
            return "(name)"
        case SynthesisShape() | {"synthesize": _}:
            return "(synthesize)" if isinstance(value, SynthesisShape) or len(value) == 1 else "(options)"
        case _:
            return "(options)"


class BudgetShape(Section):
    """What one request may use up."""

    latency: PositiveDuration | None = Field(default=None, description="Time until the reply, within the caller's deadline.")


class GraceShape(Section):
    """How much longer to wait for stragglers once coverage is met, as shares of the remaining time."""

    min: Ratio = Field(default=0.0, description="The share when only the lightest branch is pending.")
    max: Ratio = Field(default=0.0, description="The share when as much is pending as may be missing; at least `min`.")


class CompleteShape(Section):
    """When a request is complete."""

    until: Annotated[
        Annotated[UntilRule, Tag("(rule)")] | Annotated[list[UntilRule], Field(min_length=1), Tag("(list)")],
        choice(lambda v: "(list)" if isinstance(v, list) else "(rule)", "a rule or a list"),
    ] = Field(default="all", description="The rule that completes it early, or several: the first that holds.")
    soft_timeout: PositiveDuration | None = Field(default=None, description="From arrival; then what is there is enough.")
    grace: GraceShape = Field(default=GraceShape(), description="Waiting on after `until: {coverage: x}` is met.")


class AcceptShape(Section):
    """The floor: below it the request fails."""

    min_success: int = Field(default=1, ge=0, description="Branches that must have answered.")
    min_coverage: Ratio = Field(default=0.0, description="Share of the weights that must have answered.")


class PlanShape(Section):
    """What runs for one request."""

    budget: BudgetShape = Field(default=BudgetShape(), description="What one request may use up.")
    merge_reserve: Duration = Field(
        default="25ms", validate_default=True, description="Time kept for merging and the reply, at most T/4."
    )
    branches: dict[Id, BranchShape] | None = Field(default=None, description="What is called, by name, in plan order.")
    stages: Annotated[list[dict[Id, BranchShape]], Field(min_length=1)] | None = Field(
        default=None, description="Instead of `branches`: groups of them, each of which waits until the one before has ended."
    )
    cascade: Annotated[list[StepShape], Field(min_length=1)] | None = Field(
        default=None, description="Instead of `branches`: steps, each of which runs if none before it was good enough."
    )
    on_branch_failure: Literal["settle", "stop_new", "cancel_all"] = Field(
        default="settle",
        description="What a failed branch means for others: nothing; none starts any more; those that run are cancelled, too.",
    )
    complete: CompleteShape = Field(default=CompleteShape(), description="When a request is complete.")
    accept: AcceptShape = Field(default=AcceptShape(), description="The floor below which the request fails.")
    merge: (
        Annotated[
            Annotated[str, Tag("(name)")]
            | Annotated[SynthesisShape, Tag("(synthesize)")]
            | Annotated[dict[str, Any], Field(min_length=1, max_length=1), Tag("(options)")],
            choice(_merge_arm, "a name or {name: options}"),
            WithJsonSchema({}),
        ]
        | None
    ) = Field(
        default=None,
        description="How the answers become one: a merge's name, or {name: options}. collect; best_confidence for a cascade.",
    )


class RouteShape(Section):
    """Chooses the plan when the caller names none. The first route that matches wins."""

    condition: Cel | None = Field(default=None, alias="if", description="It matches if this holds; always, if not given.")
    plan: Id = Field(description="The plan it chooses.")


class LimitsShape(Section):
    """Sizes above which a message is refused."""

    part: Size = Field(default="1MiB", validate_default=True, description="One part of a streamed answer.")
    branch: Size = Field(default="8MiB", validate_default=True, description="All that one branch answers.")
    reply: Size = Field(default="4MiB", validate_default=True, description="The merged result with its report.")


class ServerShape(Section):
    """The process itself."""

    listen: Listen = Field(default="127.0.0.1:50050", description="Where callers connect; port 0 = any free one.")
    transport: Literal["grpcio", "fast"] | None = Field(
        default=None,
        description="What carries calls, its own and those to workers; null = grpcio, or as FANMESH_TRANSPORT says.",
    )
    metrics: Listen | None = Field(default="127.0.0.1:9464", description="Where /metrics is served; null = nowhere.")
    aggregator: Aggregator = Field(default="embedded", description="Who merges: this process, or the service at a target.")
    announce: Duration = Field(
        default="0s",
        validate_default=True,
        description="How long it still takes requests after SIGTERM, while health says NOT_SERVING and callers go elsewhere.",
    )
    drain: Duration = Field(default="20s", validate_default=True, description="How long requests may go on after that.")
    connection_age: PositiveDuration | None = Field(
        default=None, description="A connection this old is closed in good order, and its caller looks for dispatchers anew."
    )
    limits: LimitsShape = Field(default_factory=LimitsShape, description="Sizes above which a message is refused.")
    max_in_flight: Count | None = Field(default=None, description="Requests at once; more are refused. null = no limit.")
    overload: OverloadShape = Field(default_factory=OverloadShape, description="How the process protects itself.")
    idempotency: IdempotencyShape = Field(default_factory=IdempotencyShape, description="Replies kept for repeated requests.")


class FileShape(Section):
    """A Fanmesh configuration."""

    version: Literal[1] = Field(description="The version of this format.")
    attributes: list[Id] = Field(default=[], description="Names that callers may set and expressions read.")
    default_policy: Id = Field(default="standard", description="The policy of workers that name none.")
    policies: dict[Id, PolicyShape] = Field(
        default={}, description="What may be done for calls, by name; `none`, `standard` and `hedged` are built in."
    )
    workers: dict[Id, WorkerShape] = Field(description="The services that answer, by name.")
    plans: dict[Id, PlanShape] = Field(description="What can be asked for, by name.")
    routes: list[RouteShape] = Field(default=[], description="Choose the plan if the caller names none.")
    server: ServerShape = Field(default_factory=ServerShape, description="The process itself.")
    dev: dict[Id, Function] = Field(default={}, description="Workers that `fanmesh dev` starts, and restarts on save.")

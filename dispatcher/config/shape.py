"""The configuration file as pydantic models: which keys there are, of which kind, with which defaults.

What one key can say about itself is checked here; what two keys say about each other is not (see checks_*.py), because
pydantic would report it for the whole section instead of for the key that is wrong.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, Tag, WithJsonSchema

from dispatcher.config.shape_branches import BranchShape, StepShape, SynthesisShape, merge_arm
from dispatcher.config.shape_completion import AcceptShape, CompleteShape
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
    Section,
    Size,
    Target,
    choice,
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
        choice(lambda v: "(list)" if isinstance(v, list) else "(name)", "resolve, opaque or a list of host:port"),
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
    compression: Literal["none", "gzip"] = Field(
        default="none", description="What is done to the requests that it is sent; it must understand gzip."
    )


class BudgetShape(Section):
    """What one request may use up."""

    latency: PositiveDuration | None = Field(default=None, description="Time until the reply, within the caller's deadline.")


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
            choice(merge_arm, "a name or {name: options}"),
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
    compression: Literal["none", "gzip"] = Field(
        default="none", description="What is done to the answers that callers get, those who understand gzip."
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

"""One branch of a plan as it is written: plain, for each item of a list, as a step of a cascade, or as a merge that is one."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, Tag

from dispatcher.config.shape_cache import CacheShape
from dispatcher.config.shape_types import Cel, Count, Id, PositiveDuration, Section, Template, Tolerance, choice, only_key


class UseShape(Section):
    """A value in the place of a missing answer."""

    use: Any = Field(description="The value that stands in, merged like an answer.")


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
            Annotated[EachShape, Tag("(options)")]
            | Annotated[str, Field(json_schema_extra={"x-type": "${CEL}"}), Tag("(list)")],
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


def merge_arm(value: Any) -> str:
    """Which of the ways to write a merge is meant: its name, one with options, or one that is a branch."""
    match value:
        case str():
            return "(name)"
        case SynthesisShape() | {"synthesize": _}:
            return "(synthesize)" if isinstance(value, SynthesisShape) or len(value) == 1 else "(options)"
        case _:
            return "(options)"

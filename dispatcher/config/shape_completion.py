"""When a request is complete, and the floor below which it fails, as they are written."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, Tag

from dispatcher.config.shape_types import Cel, Duration, PositiveDuration, Ratio, Section, choice, only_key


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

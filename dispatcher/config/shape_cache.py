"""The section of a branch that says what is done for equal calls. Defaults are those of dispatcher/model/caching.py."""

from __future__ import annotations

from typing import Final

from pydantic import Field

from dispatcher.config.quantities import show_size
from dispatcher.config.shape_types import Count, Duration, PositiveDuration, Section, Size, Template
from dispatcher.model.caching import CacheRule

_RULE: Final = CacheRule(ttl=0)


class CacheShape(Section):
    """What is done for equal calls of a branch."""

    key: Template = Field(
        default=None,
        description="What makes calls equal in the place of what is sent; what the worker is told of the caller always counts.",
    )
    ttl: Duration = Field(
        description="How long an answer is given to those who ask the same; 0s = equal calls are only joined."
    )
    stale_on_error: PositiveDuration | None = Field(
        default=None, description="How long after `ttl` an answer may stand in for a call that has failed; null = never."
    )
    max_entries: Count = Field(default=_RULE.entries, description="Answers kept at most; what was not asked for longest goes.")
    max_bytes: Size = Field(
        default=show_size(_RULE.size), validate_default=True, description="Bytes of the answers kept at most, as JSON."
    )
    coalesce: bool = Field(default=_RULE.coalesce, description="Equal calls at the same time are one, and share its outcome.")

"""What a worker may know of the call it answers, and say about its answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isfinite

from fanmesh.model.usage import NOTHING, Usage
from fanmesh.money import micros


def _no_deadline() -> None:
    return None


@dataclass(slots=True)
class Context:
    """One call of a worker.

    `attempt` is 0 for the first. `idempotency_key` is alike for all attempts at the same write: store it with what is written,
    where it survives a restart, and a repetition can be told. `allowance` is the most this attempt may use, None = unlimited.
    `shadow`: the answer is only compared, so suppress side effects. `metadata` holds the caller's text headers, `traceparent`
    among them.
    """

    request_id: str = ""
    plan: str = ""
    branch: str = ""
    item_key: str = ""
    attempt: int = 0
    shadow: bool = False
    idempotency_key: str = ""
    allowance: Usage | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    time_left: Callable[[], float | None] = _no_deadline
    cancelled: bool = False
    """Nobody waits any more. A plain `def` sees it here, because a thread cannot be stopped from outside."""

    confidence: float | None = None
    usage: Usage = NOTHING
    labels: dict[str, str] = field(default_factory=dict)

    def remaining(self) -> float | None:
        """Seconds until the caller stops waiting, ≥ 0; None = it set no deadline."""
        return self.time_left()

    def report(
        self,
        *,
        confidence: float | None = None,
        cost_usd: str | None = None,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        """Say something about the answer; what is given replaces what was said before, labels by key.

        `confidence` in [0, 1]; `cost_usd` a decimal string such as "0.0002"; all amounts are of this call as a whole.
        ValueError for values outside their range.
        """
        if confidence is not None:
            if not (isfinite(confidence) and 0.0 <= confidence <= 1.0):
                raise ValueError(f"confidence {confidence} is not in [0, 1]")
            self.confidence = confidence
        for name, amount in (("input_tokens", input_tokens), ("output_tokens", output_tokens)):
            if amount is not None and not 0 <= amount < 2**63:
                raise ValueError(f"{name} {amount} is not an int64 ≥ 0")
        now = self.usage
        self.usage = Usage(
            now.input_tokens if input_tokens is None else input_tokens,
            now.output_tokens if output_tokens is None else output_tokens,
            now.cost_usd_micros if cost_usd is None else micros(cost_usd),
        )
        if labels:
            self.labels.update(labels)

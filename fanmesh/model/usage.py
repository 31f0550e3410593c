"""What work used up: tokens, and money as integer millionths of a dollar (floats do not add up to a bill)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Usage:
    """Amounts used, allowed or reserved; all ≥ 0."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd_micros: int = 0

    def __add__(self, other: Usage) -> Usage:
        """Both together."""
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cost_usd_micros + other.cost_usd_micros,
        )

    def __bool__(self) -> bool:
        """Whether anything was used at all."""
        return bool(self.input_tokens or self.output_tokens or self.cost_usd_micros)


NOTHING = Usage()

"""Functions that `custom` merges call in tests."""

from __future__ import annotations

from collections.abc import Sequence

from fanmesh.model.merge import Answer, Conflict
from fanmesh.model.values import JsonValue

NOT_ONE = 5


def cheapest(answers: Sequence[Answer], options: JsonValue) -> object:
    """The answer with the lowest price, and a conflict if another one is as low. Options: {field: where the price stands}."""
    field = str(options["field"]) if isinstance(options, dict) else "price"
    prices: dict[str, JsonValue] = {one.branch: one.value[field] for one in answers if isinstance(one.value, dict)}
    best = min(prices, key=lambda branch: float(str(prices[branch])))
    tied = list(prices.values()).count(prices[best]) > 1
    return {"from": best, "price": prices[best]}, [Conflict(field, prices, best)] if tied else []


def fails(_answers: Sequence[Answer], _options: JsonValue) -> object:
    """Whatever it gets."""
    raise KeyError("price")

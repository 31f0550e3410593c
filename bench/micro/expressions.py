"""What an expression costs: conditions, an input mapping over the request's input, and a predicate over a result so far."""

from __future__ import annotations

import orjson

from bench.kit.best import best
from bench.kit.plans import INPUT
from dispatcher.assembly import MERGES
from dispatcher.config import load_mapping
from dispatcher.model.reading import Reading
from fanmesh.expr import evaluator
from fanmesh.model.completion import Predicate
from fanmesh.model.values import JsonValue
from fanmesh.payload import Box

DOCUMENT = {
    "version": 1,
    "attributes": ["task"],
    "workers": {"far": {"target": "127.0.0.1:1", "effect": "read"}},
    "plans": {
        "bench": {
            "branches": {"b": {"worker": "far", "if": "has(input.amount)", "input": {"to": "${input.phone}", "kind": "call"}}}
        }
    },
    "routes": [{"if": 'attributes.task == "enrich"', "plan": "bench"}],
}


def figures() -> dict[str, dict[str, float]]:
    """µs for one evaluation of each."""
    catalogue = load_mapping(DOCUMENT, MERGES).catalogue
    node, route = catalogue.plans["bench"].nodes[0], catalogue.routes[0]
    value: JsonValue = orjson.loads(INPUT)
    reading = Reading(Box.of(value), {"task": "enrich"})
    condition, mapping, when = node.condition, node.input, route.condition
    if condition is None or mapping is None or when is None:
        raise RuntimeError("an expression of the document was lost")
    small: JsonValue = {"phone": {"country": "DE"}, "ip": {"country": "DE"}}
    hits: JsonValue = [{"doc": f"d{number}", "score": number / 7, "title": "a title of some words"} for number in range(100)]
    enough, covered = evaluator(Predicate("size(merged) >= 300"), {}), evaluator(Predicate("coverage > 0.7"), {})
    return {
        "condition over attributes": {"1": best(lambda: when(reading))},
        "condition over input": {"1": best(lambda: condition(reading))},
        "input mapping": {"1": best(lambda: mapping(reading))},
        "predicate over coverage": {"1": best(lambda: covered(lambda: None, 0.5))},
        "predicate over a small value": {"1": best(lambda: enough(lambda: small, 0.5))},
        "predicate over a hundred hits": {"1": best(lambda: enough(lambda: hits, 0.5))},
    }

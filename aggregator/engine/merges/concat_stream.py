"""`concat_stream`: what branches stream, one branch after the other in plan order: text, or the items of lists.

Each branch's parts are in their own order, and a snapshot shows what there is so far: text of an earlier branch may still
grow in the middle. Not in order of arrival, though that would read faster: two runs would give two texts. Branches that answer
whole take part like those that stream. A default stands where its branch's parts would have stood.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aggregator.engine.jsons import copied, what
from aggregator.engine.merging import Merged, MergeError, MergeInput, Strategy
from aggregator.engine.options import Options, dotted, read, schema, unreadable, word
from fanmesh.model.values import JsonValue, Value

KIND: Final = "concat_stream"
SCHEMA: Final = schema(
    "What branches stream, one after the other in plan order.",
    of=word("Parts are strings, or lists.", "text", "items"),
    path=dotted("Where they stand in an answer; the whole answer if not given."),
    separator={"description": "Stands between the texts of two branches; nothing if not given.", "type": "string"},
)


def prepare(options: JsonValue, _branches: Sequence[str]) -> Strategy:
    """Options: of, path, separator."""
    o = Options(options, SCHEMA)
    text, path = o.word("of") == "text", o.path("path")
    separator = o.given("separator")
    separator = "" if separator is None else separator
    if not isinstance(separator, str):
        raise MergeError(("separator",), "expected a string")
    if separator and not text:
        raise MergeError(("separator",), "stands between texts, and `of: items` has none")

    def accepts(branch: str, value: Value) -> str | None:
        if why := unreadable(branch, value, path):
            return why
        found = read(value, path)
        if found is None or isinstance(found, str if text else list):
            return None
        return f"{'.'.join((branch, *path))} is {what(found)}, and of: {'text joins strings' if text else 'items joins lists'}"

    def combine(inputs: Sequence[MergeInput]) -> Merged:
        found = [read(one.value, path) for one in inputs]
        merged = tuple(one.branch for one in inputs)
        if text:
            return Merged(separator.join(one for one in found if isinstance(one, str) and one), (), merged)
        return Merged([copied(item) for one in found if isinstance(one, list) for item in one], (), merged)

    return Strategy(combine, accepts)

"""`synthesize`: the answer of one branch, which was given all the others'. The fold only picks it.

The work is a branch and not a merge, because it needs a worker: so it has a deadline, attempts, a row in the report, and the
same life in whichever process the merge runs. Without that branch's answer another merge of the others' is the result, if there
is one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aggregator.engine.merging import Merge, Merged, MergeError, MergeInput, Strategy, json_only, one_of
from aggregator.engine.whole import chosen
from fanmesh.model.merge import MergeSpec
from fanmesh.model.values import JsonValue, Value

KIND: Final = "synthesize"
SCHEMA: Final[dict[str, JsonValue]] = {
    "description": "The answer of one more branch, which is given all the others'.",
    "type": "object",
    "properties": {
        "branch": {"type": "string", "description": "The branch whose answer is the result."},
        "otherwise": {
            "description": "The merge of the others, where that branch has not answered: a name, or {name: options}."
        },
    },
    "required": ["branch"],
    "additionalProperties": False,
}
NOT_OTHERWISE: Final = frozenset({KIND, "custom"})
"""A second synthesis would need a second worker; a function comes with the spec of its own merge."""


def prepare(options: JsonValue, branches: Sequence[str]) -> Strategy:
    """Options: the branch, and the merge that is used without it."""
    if not isinstance(options, dict) or not options.keys() <= {"branch", "otherwise"}:
        raise MergeError((), "expected branch and otherwise")
    branch = one_of(options.get("branch"), branches, "branch", ("branch",))
    others = [name for name in branches if name != branch]
    spare = _otherwise(options.get("otherwise"), others)

    def accepts(name: str, value: Value) -> str | None:
        if name == branch:
            return None
        return json_only(name, value) or (None if spare is None else spare.accepts(name, value))

    def combine(inputs: Sequence[MergeInput]) -> Merged:
        answer = [one for one in inputs if one.branch == branch]
        if answer:
            return chosen(answer)
        return Merged(None) if spare is None else spare.merge(inputs)

    return Strategy(
        combine,
        accepts,
        needs_fields=spare is not None and spare.needs_fields,
        arrival_dependent=spare is not None and spare.arrival_dependent,
    )


def _otherwise(given: JsonValue, branches: Sequence[str]) -> Merge | None:
    """The merge of the others."""
    from aggregator.engine.merges import compile_merge  # noqa: PLC0415  (the catalogue that finds this file)

    inside: tuple[str, ...] = ()
    match given:
        case None:
            return None
        case str(kind):
            spec = MergeSpec(kind)
        case dict() if len(given) == 1:
            ((kind, options),) = given.items()
            spec, inside = MergeSpec(kind, options), (kind,)
        case _:
            raise MergeError(("otherwise",), "expected a merge's name, or {name: options}")
    if kind in NOT_OTHERWISE:
        raise MergeError(("otherwise", *inside), f"{kind} cannot be what is used without the synthesis")
    try:
        return compile_merge(spec, branches)
    except MergeError as wrong:
        raise MergeError(("otherwise", *inside, *wrong.path), wrong.message) from wrong

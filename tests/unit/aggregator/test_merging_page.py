"""docs/merging.md: each example is run, and no merge is without one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from aggregator.engine.merges import MergeInput, compile_merge, merge_schema
from fanmesh.model.merge import MergeSpec

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "merging.md").read_text()
BLOCKS = re.findall(r"^```yaml\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
EXAMPLES: list[dict[str, Any]] = [YAML(typ="safe").load(block) for block in BLOCKS if "version:" not in block]
(CODE,) = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)


def _kind(example: dict[str, Any]) -> str:
    merge = example["merge"]
    return str(merge if isinstance(merge, str) else next(iter(merge)))


@pytest.mark.parametrize("example", EXAMPLES, ids=_kind)
def test_an_example_of_the_page(example: dict[str, Any]) -> None:
    """It gives what the page says, with the conflicts that the page says."""
    kind, options = _kind(example), None if isinstance(example["merge"], str) else next(iter(example["merge"].values()))
    function = None
    if kind == "custom":
        names: dict[str, Any] = {}
        exec(CODE, names)  # noqa: S102  (what the page tells a reader to type)
        function = names[str(options["call"]).partition(":")[2]] if options else None
    branches = list(example["answers"])
    if kind == "synthesize":  # what is written is a branch, and the merge picks it
        branches = [*(branch for branch in branches if branch != kind), kind]
        options = {"branch": kind, "otherwise": options.get("otherwise")} if options else None
    merge = compile_merge(MergeSpec(kind, options, function), branches)
    inputs = []
    for at, (branch, value) in enumerate(example["answers"].items()):
        assert merge.accepts(branch, value) is None
        inputs.append(
            MergeInput(branch, value, -at, branch in example.get("defaults", ()), example.get("sure", {}).get(branch, 0.0))
        )
    merged = merge.merge(inputs)
    assert merged.value == example["gives"]
    assert [conflict.path for conflict in merged.conflicts] == example.get("conflicts", [])
    assert merged.error == ""


def test_every_merge_is_on_the_page() -> None:
    """Under its own name, as a heading of a paragraph."""
    kinds = merge_schema()["anyOf"][1]["properties"]  # type: ignore[index,call-overload]  # it is a schema
    assert [kind for kind in kinds if f"**`{kind}`**" not in PAGE] == []  # type: ignore[union-attr]  # of an object
    assert {_kind(example) for example in EXAMPLES} >= {
        "join_by_key",
        "top_k",
        "rrf",
        "vote",
        "numeric",
        "concat_stream",
        "custom",
        "synthesize",
    }

"""docs/completion.md: each example is run on virtual time, and no rule is without one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from dispatcher.config.quantities import parse_duration
from fanmesh.testing import Lab, Script, ends, hangs, run_virtual, streams
from tests.kit.plans import plan

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "completion.md").read_text()
BLOCKS = re.findall(r"^```yaml\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
EXAMPLES: list[dict[str, Any]] = [YAML(typ="safe").load(block) for block in BLOCKS if "version:" not in block]


def script(does: dict[str, Any]) -> Script:
    """What the page says of a branch."""
    if "parts" in does:
        return streams(does["parts"], every=parse_duration(does["every"]), then=hangs())
    return ends(does["answers"], after=parse_duration(does["at"]), confidence=does.get("confidence"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["ends"]["by"])
def test_an_example_of_the_page(example: dict[str, Any]) -> None:
    """It ends by that rule, at that time, with that result."""
    branches, expected = example["branches"], example["ends"]
    streaming = [name for name, does in branches.items() if "parts" in does]
    rest = {"merge": example["merge"]} if "merge" in example else {}

    async def main() -> None:
        lab = Lab(plan(" ".join(branches), streaming=streaming, complete={"until": example["until"]}, **rest))
        for name, does in branches.items():
            lab.worker(name).plays(script(does))
        r = await lab.dispatch("p")
        assert (r.report.completed_by.name, r.elapsed, r.value) == (
            expected["by"],
            parse_duration(expected["at"]),
            expected["with"],
        )
        assert r.complete

    run_virtual(main())


def test_every_rule_that_looks_at_more_than_counts_is_on_the_page() -> None:
    """With an example that it ends."""
    assert {"PREDICATE", "CONFIDENCE", "QUIET"} <= {example["ends"]["by"] for example in EXAMPLES}

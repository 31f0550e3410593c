"""docs/fallbacks.md: each example is run, and comes to what the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from dispatcher.config.quantities import parse_duration
from fanmesh.model.fault import Code
from fanmesh.testing import Lab, Script, ends, fails, hangs, run_virtual
from tests.kit.plans import plan

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "fallbacks.md").read_text()
BLOCKS = re.findall(r"^```yaml\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
EXAMPLES: list[dict[str, Any]] = [YAML(typ="safe").load(block) for block in BLOCKS]


def script_of(does: dict[str, Any]) -> Script:
    """What a worker does, as the page says it."""
    after = parse_duration(does.get("after", 0))
    if "hangs" in does:
        return hangs()
    return fails(does["fails"], after=after) if "fails" in does else ends(does["ends"], after=after)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: str(example["geo"]))
def test_an_example_of_the_page(example: dict[str, Any]) -> None:
    """How the branch ends, when, who answered, with what, and after which attempts."""
    when, then = example["when"], dict(example["then"])
    config = plan({"geo": example["geo"], **({"other": {}} if "other" in when else {})}, accept={"min_success": 0})
    config["workers"]["backup"] = {"target": "127.0.0.1:1", "effect": "read"}

    async def story() -> None:
        lab = Lab(config)
        for name, does in when.items():
            lab.worker(name).plays(script_of(does))
        r = await lab.dispatch("p", {"ip": "1.2.3.4"})
        row = r.report["geo"]
        assert f"{row.state.name}/{row.reason.name}" == then.pop("is")
        assert r.elapsed == parse_duration(then.pop("at"))
        assert (r.value or {}).get("geo") == then.pop("value", None)
        assert row.worker == then.pop("by")
        assert [one.worker for one in row.attempts] == then.pop("attempts")
        assert Code(row.code).name == then.pop("code", "OK")
        assert not then, f"the page says what nobody checks: {then}"
        await lab.settle()
        lab.assert_nothing_left()

    run_virtual(story())


def test_the_page_has_examples_of_every_kind() -> None:
    """Worker, branch, value, and two in a row."""
    found = [example["geo"]["fallback"] for example in EXAMPLES]
    assert {kind for kind in ("worker", "branch", "use", "fallback") if any(kind in one for one in found)} == {
        "worker", "branch", "use", "fallback",
    }  # fmt: skip

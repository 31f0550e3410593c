"""docs/caching.md: each example is run on virtual time, and says what the page says."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from dispatcher.assembly import MERGES
from dispatcher.config import load_text
from dispatcher.config.shape_cache import CacheShape
from fanmesh.testing import Lab, ends, fails, run_virtual
from tests.kit.caching import ask, conf, row

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "caching.md").read_text()
BLOCKS = re.findall(r"^```yaml\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
(FULL,) = [block for block in BLOCKS if block.startswith("version:")]
EXAMPLES: list[dict[str, Any]] = [YAML(typ="safe").load(block) for block in BLOCKS if block != FULL]


@pytest.mark.parametrize("example", EXAMPLES, ids=[str(example["cache"]) for example in EXAMPLES])
def test_an_example_of_the_page(example: dict[str, Any]) -> None:
    """Each question is answered as the page says, from where it says; `at` is in seconds."""

    async def main() -> None:
        lab = Lab(conf(example["cache"], workers={"a": {"metadata": ["authorization"]}}))
        worker = lab.worker("a")
        for one in example["asks"]:
            loop = asyncio.get_running_loop()
            worker.plays(fails(one["fails"]) if "fails" in one else ends(one["says"]))
            who = (("authorization", one.get("authorization", "somebody")),)
            after = 1000 * one.get("at", 0) - round(1000 * loop.time())
            reply = await ask(lab, one.get("input"), after=max(0, after), metadata=who)
            told = row(reply)
            assert told.state.name == one.get("state", "SUCCEEDED"), one
            assert (reply.value or {}).get("a") == one.get("gives"), one  # type: ignore[union-attr]  # collected: a map
            assert [decision.what for decision in told.decisions] == ([one["decision"]] if "decision" in one else []), one
        lab.assert_nothing_left()

    run_virtual(main())


def test_the_example_at_the_top_is_a_configuration() -> None:
    """Without a warning; and no key of the section is missing there."""
    config = load_text(FULL, filename="fanmesh.yaml", merges=MERGES)
    assert config.warnings == ()
    given = YAML(typ="safe").load(FULL)["plans"]["offer"]["branches"]["prices"]["cache"]
    assert set(given) == set(CacheShape.model_fields)

"""docs/plans.md: each plan is loaded, each example is run, and each picture is the one that would be drawn."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from ruamel.yaml import YAML

from dispatcher.assembly import MERGES
from dispatcher.config import load_text
from dispatcher.embedded import Fanmesh
from fanmesh.cli.drawing.mermaid import mermaid
from fanmesh.cli.drawing.svg import svg
from fanmesh.cli.drawing.tree import tree
from fanmesh.cli.waterfall import render
from fanmesh.model.outcome import Outcome
from fanmesh.model.states import BranchState
from fanmesh.model.times import ms
from fanmesh.model.values import Value
from fanmesh.testing import Lab, LabResult, Script, ends, fails, hangs, run_virtual, streams
from fanmesh.testing.scripts import PartTaker
from fanmesh.workers import Context, worker
from tests.kit.explained import explain
from tests.kit.plans import plan

DOCS: Final = Path(__file__).resolve().parents[2] / "docs"
BLOCKS: Final = re.findall(r"^```(\w+)\n(.*?)^```$", (DOCS / "plans.md").read_text(), flags=re.MULTILINE | re.DOTALL)
HEAD: Final = next(text for language, text in BLOCKS if "version:" in text).split("plans:")[0]
WIDTH: Final = 96


class Shown(NamedTuple):
    """Something that is run or drawn, and what the page shows of it. `about`: the example, or the name of a plan."""

    about: Any
    picture: str


def found() -> tuple[dict[str, str], list[Shown], list[Shown]]:
    """The page's plans as configurations by name, its examples, and its drawings by language, in their order."""
    plans, examples, drawings, last = {}, [], [], ""
    pairs = zip(BLOCKS, [*BLOCKS[1:], ("", "")], strict=True)
    for (language, text), (following, picture) in pairs:
        if language != "yaml":
            continue
        told = YAML(typ="safe").load(text)
        if "plans" in told:
            (last,) = told["plans"]
            plans[last] = text if "version" in told else HEAD + text
        else:
            examples.append(Shown(told, picture))
        if "plans" in told and following == "text":
            drawings.append(Shown((last, following), picture))
    alone = [block for before, block in pairwise(BLOCKS) if before[0] != "yaml" and block[0] in {"text", "mermaid"}]
    drawings += (Shown(("order", language), text) for language, text in alone)
    return plans, examples, drawings


PLANS, EXAMPLES, DRAWINGS = found()


def milliseconds(text: str) -> int:
    """`40ms`, in ns."""
    return ms(int(text.removesuffix("ms")))


def script(told: Any) -> Script:
    """What a worker plays."""
    match told:
        case "hangs":
            return hangs()
        case {"ends": value, "after": after}:
            return ends(value, after=milliseconds(after), confidence=told.get("confidence"))
        case {"fails": code, "after": after}:
            return fails(code, after=milliseconds(after))
        case {"parts": parts, "every": every, "then": code}:
            return streams(parts, every=milliseconds(every), then=fails(code))
        case {"each": scripts}:
            return by_item({str(sent): script(does) for sent, does in scripts.items()}, told.get("else"))
    raise ValueError(f"{told} is not in the language of the page")


def by_item(scripts: dict[str, Script], otherwise: Any) -> Script:
    """What it plays depends on what it is sent, as a text or as JSON."""

    async def play(value: Value, take: PartTaker) -> Outcome:
        sent = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
        return await (scripts.get(sent) or script(otherwise)).play(value, take)

    return Script(play, "by item")


def drawn(result: LabResult) -> str:
    """As `fanmesh call` draws it, without the addresses of the Lab."""
    branches = tuple(branch._replace(endpoint="") for branch in result.report.branches)
    return render(replace(result.report, branches=branches), width=WIDTH)


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_of_the_page(name: str) -> None:
    """It is one that a reader can copy, with the workers of the page."""
    assert name in load_text(PLANS[name], filename="plans.yaml", merges=MERGES).catalogue.plans


@pytest.mark.parametrize(
    "number", range(len(EXAMPLES)), ids=[f"{number}-{one.about['plan']}" for number, one in enumerate(EXAMPLES)]
)
def test_an_example_of_the_page(number: int) -> None:
    """It gives what the page says, workers were sent what the page says, and the picture is that of the page."""
    told, picture = EXAMPLES[number]

    async def story() -> None:
        lab = Lab(PLANS[told["plan"]])
        for name, what in told["workers"].items():
            lab.worker(name).plays(script(what))
        result = await lab.dispatch(told["plan"], told.get("input", {}))
        assert result.value == told["gives"]
        assert {name: lab.worker(name).calls for name in told.get("sent", {})} == {
            name: [sent] for name, sent in told.get("sent", {}).items()
        }
        for name, sent in told.get("sent_each", {}).items():
            assert lab.worker(name).calls == sent
        assert drawn(result) == picture.rstrip("\n")
        lab.assert_nothing_left()

    run_virtual(story())


@pytest.mark.parametrize("number", range(len(DRAWINGS)), ids=["-".join(one.about) for one in DRAWINGS])
def test_a_drawing_of_the_page(number: int) -> None:
    """A tree after its plan, a flowchart in its place."""
    (name, language), picture = DRAWINGS[number]
    nodes = explain(PLANS[name], name).nodes
    assert (tree(nodes, WIDTH) if language == "text" else mermaid(nodes)) == picture.rstrip("\n")


def test_the_cascade_of_the_readme_is_one_of_the_page() -> None:
    """It shows the picture of an example here, which is run."""
    section = (DOCS.parent / "README.md").read_text("utf-8").split("\n## One after the other")[1].split("\n## ")[0]
    (shown,) = re.findall(r"^```\n(OK.*?)^```$", section, flags=re.MULTILINE | re.DOTALL)
    assert shown in [example.picture for example in EXAMPLES if example.about["plan"] == "label"]


def test_the_picture_file_of_the_page() -> None:
    """`scripts/draw_plans.py` writes it from the first plan of the page."""
    assert svg(explain(PLANS["order"], "order")) == (DOCS / "img" / "plan-order.svg").read_text("utf-8").rstrip("\n")


def test_no_block_is_passed_over() -> None:
    """Because it is written in another way, or has the name of another plan."""
    languages = [language for language, _ in BLOCKS]
    assert languages.count("yaml") == len(PLANS) + len(EXAMPLES)
    assert languages.count("text") + languages.count("mermaid") == len(EXAMPLES) + len(DRAWINGS)
    assert min(len(EXAMPLES), len(DRAWINGS)) > 3


SEEN: Final[dict[str, tuple[dict[str, Any], Script, str]]] = {
    "answered": (
        {},
        ends(7, confidence=0.5),
        "branches.x.ok && {state} == 'SUCCEEDED' && {output} == 7 && {confidence} == 0.5",
    ),
    "silent": ({}, ends(7), "branches.x.ok && {confidence} == 0.0"),
    "default": (
        {"if_missing": {"use": 8}},
        fails("NOT_FOUND"),
        "{state} == 'DEFAULTED' && {output} == 8 && {confidence} == 0.0",
    ),
    "parts": ({}, streams([[1], [2]], then=fails("INTERNAL")), "{state} == 'FAILED' && {output} == [1, 2]"),
    "timed out": ({"timeout": "50ms"}, hangs(), "{state} == 'TIMED_OUT' && {output} == {} && {confidence} == 0.0"),
    "unwanted": ({"if": "false"}, hangs(), "{state} == 'SKIPPED' && {output} == {} && {confidence} == 0.0"),
}


@pytest.mark.parametrize("case", SEEN)
def test_what_a_condition_sees_of_a_branch(case: str) -> None:
    """The page's table, a column or two at a time: `ok` is true for answers only, and all fields are there in every case."""
    keys, script, holds = SEEN[case]
    for field in ("state", "output", "confidence"):
        holds = holds.replace(f"{{{field}}}", f"branches.x.{field}")
    holds = holds if "branches.x.ok" in holds else f"!branches.x.ok && {holds}"

    async def story() -> None:
        lab = Lab(plan({"x": keys, "reads": {"if": holds}}, streaming=["x"] if case == "parts" else []))
        lab.worker("x").plays(script)
        lab.worker("reads").plays(ends(1))
        result = await lab.dispatch("p", {})
        assert result.report["reads"].state is BranchState.SUCCEEDED, result.report["reads"].reason

    run_virtual(story())


@pytest.mark.asyncio
async def test_the_program_of_the_page() -> None:
    """The Python block runs as it stands."""

    @worker("phone")
    async def phone(_: Any) -> dict[str, str]:
        return {"region": "DE"}

    @worker("small")
    async def small(_: Any, ctx: Context) -> str:
        ctx.report(confidence=0.95)
        return "spam"

    @worker("risk")
    async def risk(data: Any) -> Any:
        return data

    (code,) = (text for language, text in BLOCKS if language == "python")
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102  (what the page tells a reader to type)
    assert names["Fanmesh"] is Fanmesh
    order, label = await names["run"]({"phone": phone, "small": small, "risk": risk, "large": risk})
    assert (order.value["risk"], label.value) == ({"region": "DE"}, "spam")

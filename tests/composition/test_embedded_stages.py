"""Staged plans written in Python: they say what the same YAML would, and run in the program's own process."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from dispatcher.config import ConfigErrors
from dispatcher.config.shape import PlanShape
from dispatcher.config.shape_branches import BranchShape, StepShape
from dispatcher.embedded import Branch, Fanmesh, Plan, Step
from fanmesh.model.states import BranchReason, BranchState
from fanmesh.workers import Context, Worker, worker

pytestmark = pytest.mark.asyncio


class Local:
    """Workers `a`, `b` and `c`, which answer their name and input, and write down that they were called."""

    def __init__(self, **sure: float) -> None:
        self.called: list[str] = []
        self.workers = {name: self._of(name, sure.get(name)) for name in "abc"}

    def _of(self, name: str, sure: float | None) -> Worker[Any]:
        @worker(name)
        async def answer(data: Any, ctx: Context) -> dict[str, Any]:
            self.called.append(name)
            if sure is not None:
                ctx.report(confidence=sure)
            return {"by": name, "of": data}

        return answer


async def test_a_branch_reads_another() -> None:
    """Plan order does not matter: who is read runs first."""
    local = Local()
    reader = Branch(input={"n": "${branches.a.output.of.n + 1}"}, min_time="5ms")
    async with Fanmesh(Plan("p", {"b": reader, "a": Branch()}), local=local.workers) as mesh:
        r = await mesh.dispatch("p", {"n": 1})
    assert local.called == ["a", "b"]
    assert r.value == {"a": {"by": "a", "of": {"n": 1}}, "b": {"by": "b", "of": {"n": 2}}}


async def test_stages() -> None:
    """The second starts when the first has ended, though it reads nothing of it."""
    local = Local()
    stages = [{"c": Branch(), "b": Branch()}, {"a": Branch(condition="branches.b.ok")}]
    async with Fanmesh(Plan("p", stages=stages), local=local.workers) as mesh:
        r = await mesh.dispatch("p", 1)
    assert (local.called, list(r.value)) == (["c", "b", "a"], ["c", "b", "a"])


@pytest.mark.parametrize(("sure", "called"), [(0.95, ["a"]), (0.5, ["a", "b"])])
async def test_a_cascade(sure: float, called: list[str]) -> None:
    """It goes on until a step is good enough; the last answer that was asked for is the surest."""
    local = Local(a=sure, b=0.8)
    steps = {"a": Step(stop_if="confidence >= 0.9"), "b": Step(timeout="500ms"), "c": Step()}
    async with Fanmesh(Plan("p", cascade=steps), local=local.workers) as mesh:
        r = await mesh.dispatch("p", 1)
    assert (local.called, r.value["by"]) == (called, called[-1])
    assert (r.report["c"].state, r.report["c"].reason) == (BranchState.SKIPPED, BranchReason.CONDITION)


async def test_mistakes_have_the_messages_of_the_file() -> None:
    """Two ways at once, no time for a min_time, and a branch that is not there."""
    wrong = {
        "stands beside branches": Plan("p", {"a": Branch()}, stages=[{"b": Branch()}]),
        "the min_time of a adds up to 2s": Plan("p", {"a": Branch(min_time="2s")}, latency="1s"),
        "unknown branch 'z'": Plan("p", {"a": Branch(), "b": Branch(condition="branches.z.ok")}),
    }
    for message, plan in wrong.items():
        with pytest.raises(ConfigErrors, match=message):
            Fanmesh(plan, local=Local().workers)


async def test_every_key_of_the_file_can_be_said() -> None:
    """A key that a plan may have in the file is a field here, and nothing else is."""

    def keys(shape: Any) -> set[str]:
        return set(shape.model_fields)

    assert {one.name for one in fields(Branch)} == keys(BranchShape)
    assert {one.name for one in fields(Step)} == keys(StepShape) - {"branch"}
    assert {one.name for one in fields(Plan)} == keys(PlanShape) - {"budget"} | {"name", "latency"}

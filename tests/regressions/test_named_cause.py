"""The cause that a failed call names is a branch that failed, and not one that we stopped ourselves because it had failed."""

from __future__ import annotations

from fanmesh.model.fault import Code
from fanmesh.reporting import worst
from fanmesh.testing import Lab, ends, fails, ms, run_virtual
from tests.kit.plans import plan, stubborn


def test_a_late_answer_is_no_cause() -> None:
    """A floor of everything: one branch fails, the other two are stopped for it, and one of them answers all the same."""

    async def run() -> None:
        lab = Lab(plan({"a": {"if": "false"}, "b": {}, "c": {"if_missing": {"use": 0}}}, accept={"min_coverage": 1.0}))
        lab.worker("b").plays(stubborn(ends(1, after=ms(50)), lingers=0, then=None))
        lab.worker("c").plays(fails("INVALID_ARGUMENT", "no such address", after=ms(10)))
        result = await lab.dispatch("p")
        assert result.refusal is not None
        assert (result.code, dict(result.refusal.metadata)) == (
            Code.UNAVAILABLE,
            {"branch": "c", "cause_code": "INVALID_ARGUMENT", "branch_reason": "WORKER_ERROR"},
        )
        assert worst(result.report.branches)[0].branch == "c"

    run_virtual(run())

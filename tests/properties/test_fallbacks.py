"""What must hold of every branch with fallbacks, whatever its workers do and whenever."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fanmesh.model.fault import Code, Fault, FaultKind
from fanmesh.model.states import BranchReason, BranchState
from fanmesh.testing import Lab, LabResult, Script, ends, fails, hangs, ms, rubbish, run_virtual
from tests.kit.plans import gives, plan

R, S = BranchReason, BranchState

TIMES = st.integers(0, 400)
UNSENT = Fault(FaultKind.WORKER_ERROR, Code.UNAVAILABLE, sent=False)

scripts = st.one_of(
    TIMES.map(lambda after: ends("answer", after=ms(after))),
    st.builds(lambda code, after: fails(code, after=ms(after)), st.sampled_from(["UNAVAILABLE", "INVALID_ARGUMENT"]), TIMES),
    TIMES.map(lambda after: gives(UNSENT, after=ms(after))),
    TIMES.map(lambda after: rubbish(after=ms(after))),
    st.just(hangs()),
)
timeouts = st.one_of(st.none(), st.integers(1, 500))
legs = st.lists(st.tuples(scripts, timeouts), min_size=1, max_size=3)
effects = st.sampled_from([{"effect": "read"}, {"effect": "write"}, {"effect": "write", "idempotent": True}])
policies = st.sampled_from([{"extends": "none"}, {"extends": "standard", "retry": {"max_attempts": 3}}])


def configuration(times: list[int | None], effect: dict[str, Any], policy: dict[str, Any]) -> dict[str, Any]:
    """A branch w0 that falls back on w1 and w2, as far as there are `times`, and another one beside it."""
    branch: dict[str, Any] = {}
    for number, timeout in reversed(list(enumerate(times))):
        own: dict[str, Any] = {"worker": f"w{number}"}
        if timeout is not None:
            own["timeout"] = f"{timeout}ms"
        branch = {**own, **({"fallback": branch} if branch else {})}
    config = plan({"a": branch, "x": {}}, policies={"p": policy}, accept={"min_success": 0})
    config["workers"] |= {f"w{n}": {"target": "127.0.0.1:1", "policy": "p", **effect} for n in range(len(times))}
    del config["workers"]["a"]
    return config


def played(plays: list[Script], config: dict[str, Any]) -> tuple[Lab, LabResult]:
    """One request; afterwards nothing runs any more, and every permit is back."""

    async def story() -> tuple[Lab, LabResult]:
        lab = Lab(config)
        lab.worker("x").plays(ends("x", after=ms(50)))
        for number, script in enumerate(plays):
            lab.worker(f"w{number}").plays(script)
        r = await lab.dispatch("p")
        await lab.settle()
        lab.assert_nothing_left()
        return lab, r

    return run_virtual(story())


@given(asked=legs, effect=effects, policy=policies)
def test_of_every_branch_with_fallbacks(asked: list[tuple[Script, int | None]], effect: Any, policy: Any) -> None:
    """Workers are asked in order, each once it is its turn, never past stop; a write that arrived is never made again."""
    plays, times = [script for script, _ in asked], [timeout for _, timeout in asked]
    lab, r = played(plays, configuration(times, effect, policy))
    row = r.report["a"]
    calls = [len(lab.worker(f"w{number}").calls) for number in range(len(asked))]

    workers = [attempt.worker for attempt in row.attempts]
    assert workers == sorted(workers)  # in order, and nobody again once the next one was asked
    assert set(workers) <= {f"w{number}" for number in range(len(asked))}
    assert [attempt.number for attempt in row.attempts] == list(range(len(workers)))
    assert sum(calls) == len(workers)

    assert r.elapsed <= ms(975)
    assert all(attempt.started_after <= ms(970) for attempt in row.attempts)
    for before, after in zip(row.attempts, row.attempts[1:], strict=False):
        assert after.started_after >= before.started_after + before.elapsed  # one after the other: nothing is hedged here

    if effect == {"effect": "write"}:
        arrived = [attempt for attempt in row.attempts if not _unsent(plays[int(attempt.worker[1:])], attempt.cancelled)]
        assert len(arrived) <= 1
        assert not arrived or arrived[0] is row.attempts[-1]

    assert (row.state is S.FELL_BACK) == (r.value is not None and "a" in r.value and row.worker != "w0")
    assert sum(attempt.won for attempt in row.attempts) == (row.state in (S.SUCCEEDED, S.FELL_BACK))
    if row.state is S.FELL_BACK:
        assert row.reason is not R.NONE
        assert row.worker == workers[-1]
    elif row.state in (S.FAILED, S.REJECTED):
        assert row.worker == "w0"


def _unsent(script: Script, cancelled: bool) -> bool:  # noqa: FBT001  (of one attempt)
    """Whether an attempt with this script can have been seen by nobody: it said so before it was cut."""
    return "sent=False" in repr(script) and not cancelled

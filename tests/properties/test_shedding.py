"""What must hold for any rule and any load: more of it never lets more in, and the less important never outlast the others."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dispatcher.model.policy import OverloadRule, Thresholds
from dispatcher.policies.overload import HOLD, Overload, Stage, Why, admit, stage_of

stages = st.sampled_from(Stage)
amounts = st.integers(0, 2000)
chances = st.floats(0, 1, exclude_max=True)


@st.composite
def thresholds(draw: st.DrawFn, scale: float) -> Thresholds:
    """Rising, each of them perhaps off."""
    values = sorted(draw(st.lists(st.integers(1, 1000), min_size=3, max_size=3)))
    return Thresholds(*(value * scale if draw(st.booleans()) else None for value in values))


rules = st.builds(
    OverloadRule,
    st.none() | st.integers(1, 100),
    thresholds(1.0),
    thresholds(0.001),
    st.none() | st.just(1000),
)


@given(rules, amounts, amounts, amounts, amounts)
def test_more_load_is_never_a_lower_stage(rule: OverloadRule, lag: int, more_lag: int, memory: int, more: int) -> None:
    """The stage rises with each signal."""
    assert stage_of(rule, lag, memory) <= stage_of(rule, lag + more_lag, memory + more)


@given(rules, stages, stages, st.integers(0, 200), st.integers(0, 200), chances)
def test_more_load_never_admits_more(rule: OverloadRule, one: Stage, two: Stage, few: int, more: int, u: float) -> None:
    """Who is refused is refused in every worse stage and with more in flight; and CRITICAL never before SHEDDABLE."""
    low, high = sorted((one, two))
    for critical in (True, False):
        if admit(rule, low, Why.LAG, few, u, critical=critical) is not None:
            assert admit(rule, high, Why.LAG, few + more, u, critical=critical) is not None
    refused = admit(rule, low, Why.LAG, few, u, critical=True)
    if refused is not None:
        assert refused.pushback > 0
        assert admit(rule, low, Why.LAG, few, u, critical=False) is not None


@given(rules, st.lists(st.tuples(amounts, amounts, st.integers(0, 2 * HOLD)), min_size=1, max_size=30))
def test_a_look_is_never_below_what_the_signals_ask_for(rule: OverloadRule, told: list[tuple[int, int, int]]) -> None:
    """Hysteresis only delays the way down, by one stage a look at most; and after enough calm the process is calm."""
    overload, now, before = Overload(), 0, Stage.CALM
    for lag, memory, later in told:
        now += later
        stage = overload.look(rule, lag, memory, now)
        assert stage >= max(stage_of(rule, lag, memory), before - 1)
        before = stage
    for _ in Stage:
        now += HOLD
        overload.look(rule, 0, 0, now)
    assert overload.stage is Stage.CALM

from collections import Counter
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanmesh.model.fault import Code
from fanmesh.model.times import MS, SECOND, US
from sample_workers.behaviour import (
    Act,
    BehaviourError,
    Delay,
    Outcome,
    Profile,
    Shape,
    Share,
    decide,
    decisions,
    parse,
    parse_all,
)

UNIT = st.floats(0, 1, exclude_max=True)
TEXTS = st.sampled_from(
    [
        "hang",
        "delay=5ms",
        "delay=uniform(1ms,9ms);rubbish@30%",
        "delay=exponential(2ms);stragglers=5%x10",
        "delay=lognormal(5ms,2ms);stragglers=5%x10;fail=UNAVAILABLE@10%",
        "fail=INTERNAL@50%;half-stream=3@25%;die@25%",
    ]
)


def test_a_behaviour_is_read_clause_by_clause() -> None:
    """The whole language in one line."""
    assert parse("delay=lognormal(5ms,2ms); stragglers=5%x10; fail=UNAVAILABLE@10%; half-stream=3@1%") == Profile(
        delay=Delay(Shape.LOGNORMAL, 5 * MS, 2 * MS),
        stragglers=0.05,
        factor=10.0,
        outcomes=(Share(Outcome.FAIL, 0.1, code=Code.UNAVAILABLE), Share(Outcome.HALF_STREAM, 0.01, parts=3)),
    )


@pytest.mark.parametrize(
    ("text", "delay"),
    [
        ("delay=1.5s", Delay(Shape.FIXED, 1500 * MS)),
        ("delay=250us", Delay(Shape.FIXED, 250 * US)),
        ("delay=uniform(1ms, 9ms)", Delay(Shape.UNIFORM, MS, 9 * MS)),
        ("delay=exponential(2ms)", Delay(Shape.EXPONENTIAL, 2 * MS)),
    ],
)
def test_a_delay_is_a_time_or_a_distribution(text: str, delay: Delay) -> None:
    """Times carry their unit."""
    assert parse(text).delay == delay


@pytest.mark.parametrize("name", ["hang", "rubbish", "die"])
def test_an_outcome_without_share_is_every_call(name: str) -> None:
    """`geo:hang` is the shortest useful behaviour."""
    assert decide(parse(name), 0.5, 0.5, 0.999999) == Act(0, Outcome(name))


def test_behaviours_are_told_apart_by_worker() -> None:
    """One without a name is for all others."""
    assert parse_all(["geo:hang", "delay=1ms"]) == {"geo": parse("hang"), "": parse("delay=1ms")}


@pytest.mark.parametrize(
    ("text", "token", "allowed"),
    [
        ("hangs", "'hangs'", "hang, rubbish, die, half-stream"),
        ("", "''", "delay=…"),
        ("hang=3", "'hang=3'", "hang"),
        ("delay=5", "'5'", "us, ms or s"),
        ("delay=uniform(9ms,1ms)", "'uniform(9ms,1ms)'", "uniform(from,to)"),
        ("delay=gauss(1ms,1ms)", "'gauss(1ms,1ms)'", "lognormal(mean,deviation)"),
        ("delay=lognormal(5ms)", "'lognormal(5ms)'", "lognormal(mean,deviation)"),
        ("delay=lognormal(0ms,1ms)", "'lognormal(0ms,1ms)'", "lognormal(mean,deviation)"),
        ("delay=1ms;delay=2ms", "'delay=2ms'", "given twice"),
        ("delay=1ms;stragglers=5%", "'5%'", "as in 5%x10"),
        ("stragglers=5%x10", "'stragglers=5%x10'", "delay=…"),
        ("fail=BROKEN", "'BROKEN'", "UNAVAILABLE"),
        ("fail=OK", "'OK'", "UNAVAILABLE"),
        ("fail", "''", "UNAVAILABLE"),
        ("hang@10", "'10'", "as in 5%"),
        ("hang@0%", "'0%'", "more than 0%"),
        ("hang@101%", "'101%'", "at most 100%"),
        ("hang@60%;die@50%", "'hang@60%;die@50%'", "at most 100%"),
        ("half-stream=0", "'0'", "1 or more"),
    ],
)
def test_a_mistake_is_named_together_with_what_may_stand_there(text: str, token: str, allowed: str) -> None:
    """A behaviour is typed at a prompt: the message is the manual."""
    with pytest.raises(BehaviourError) as wrong:
        parse(text)
    assert token in str(wrong.value)
    assert allowed in str(wrong.value)


def test_a_worker_with_two_behaviours_is_refused() -> None:
    """Which of them would count?"""
    with pytest.raises(BehaviourError, match="behaviour of geo: given twice"):
        parse_all(["geo:hang", "geo:die"])


@given(TEXTS, st.integers(0, 2**32), st.sampled_from(["", "geo", "phone"]))
def test_the_same_seed_replays_the_same_decisions(text: str, seed: int, worker: str) -> None:
    """A demo that failed fails again."""
    profile = parse(text)
    assert list(islice(decisions(profile, seed, worker), 50)) == list(islice(decisions(profile, seed, worker), 50))


def test_seeds_and_workers_differ() -> None:
    """Two workers under one seed do not stumble in step."""
    profile = parse("delay=uniform(0ms,100ms)")
    streams = {tuple(islice(decisions(profile, seed, worker), 20)) for seed in (1, 2) for worker in ("a", "b")}
    assert len(streams) == 4


def test_the_stream_is_the_same_on_every_machine() -> None:
    """Figures in the docs were drawn with a seed; hash randomisation must not move them."""
    stream = decisions(parse("delay=uniform(0ms,100ms)"), 7, "geo")
    assert [act.delay_ns for act in islice(stream, 3)] == [
        3429542,
        22441575,
        87164131,
    ]


@given(UNIT, UNIT, UNIT, UNIT)
def test_a_share_never_moves_a_delay(u_delay: float, u_straggler: float, u_outcome: float, other: float) -> None:
    """Each number has one purpose, so runs with and without faults are comparable call by call."""
    calm = parse("delay=lognormal(5ms,2ms);stragglers=5%x10")
    rough = parse("delay=lognormal(5ms,2ms);stragglers=5%x10;fail=UNAVAILABLE@40%;hang@40%")
    assert decide(calm, u_delay, u_straggler, other).delay_ns == decide(rough, u_delay, u_straggler, u_outcome).delay_ns


@given(TEXTS, UNIT, UNIT, UNIT)
def test_a_decision_is_always_possible(text: str, u_delay: float, u_straggler: float, u_outcome: float) -> None:
    """No delay is negative or beyond an hour; a code comes with FAIL only, parts with HALF_STREAM only."""
    act = decide(parse(text), u_delay, u_straggler, u_outcome)
    assert 0 <= act.delay_ns <= 3600 * SECOND
    assert (act.code is not Code.OK) == (act.outcome is Outcome.FAIL)
    assert (act.parts > 0) == (act.outcome is Outcome.HALF_STREAM)


def test_stragglers_take_the_delay_times_their_factor() -> None:
    """The share is compared with `<`, so 0% would be none."""
    profile = parse("delay=4ms;stragglers=5%x10")
    assert decide(profile, 0.5, 0.049, 0.5).delay_ns == 40 * MS
    assert decide(profile, 0.5, 0.05, 0.5).delay_ns == 4 * MS


def test_shares_hold_over_ten_thousand_calls() -> None:
    """Each within five standard deviations of what was asked for; the rest is answered."""
    wanted = {Outcome.FAIL: 0.10, Outcome.HANG: 0.05, Outcome.RUBBISH: 0.02, Outcome.DIE: 0.01, Outcome.OK: 0.82}
    profile = parse("delay=4ms;stragglers=5%x10;fail=UNAVAILABLE@10%;hang@5%;rubbish@2%;die@1%")
    n = 10_000
    acts = list(islice(decisions(profile, 7), n))
    seen = Counter(act.outcome for act in acts)
    for outcome, share in wanted.items():
        assert seen[outcome] == pytest.approx(n * share, abs=5 * (n * share * (1 - share)) ** 0.5)
    assert sum(act.delay_ns == 40 * MS for act in acts) == pytest.approx(n * 0.05, abs=5 * (n * 0.05 * 0.95) ** 0.5)


@pytest.mark.parametrize(
    ("text", "mean", "deviation"),
    [
        ("delay=lognormal(5ms,2ms)", 5 * MS, 2 * MS),
        ("delay=exponential(5ms)", 5 * MS, 5 * MS),
        ("delay=uniform(2ms,8ms)", 5 * MS, 6 * MS / 12**0.5),
    ],
)
def test_delays_have_the_mean_and_deviation_they_were_given(text: str, mean: float, deviation: float) -> None:
    """In particular the lognormal's two numbers are of the delay, not of its logarithm."""
    n = 10_000
    delays = [act.delay_ns for act in islice(decisions(parse(text), 7), n)]
    average = sum(delays) / n
    assert average == pytest.approx(mean, abs=5 * deviation / n**0.5)
    assert (sum((delay - average) ** 2 for delay in delays) / n) ** 0.5 == pytest.approx(deviation, rel=0.06)

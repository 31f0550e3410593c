"""Answers that are given again, under the whole engine: which, to whom, for how long, and what stands in for a failure."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fanmesh.model.fault import Code
from fanmesh.model.outcome import Success
from fanmesh.model.states import BranchReason, BranchState
from fanmesh.testing import Lab, Script, computes, ends, fails, hangs, ms, run_virtual
from tests.kit.caching import ask, conf, counts, fate, noted, row, then
from tests.kit.plans import gives, raises

R, S = BranchReason, BranchState
TTL = {"ttl": "30s"}
STALE = {"ttl": "30s", "stale_on_error": "5m"}


@pytest.mark.fanmesh(conf(TTL, sla="5ms"))
async def test_a_hit(lab: Lab) -> None:
    """Nothing is sent and nothing used up; the branch has SUCCEEDED, at once, and the report says where its answer is from."""
    lab.worker("a").plays(ends({"n": 1}, after=ms(50), confidence=0.5))
    first, second = await ask(lab), await ask(lab, after=1500)
    assert first.value == second.value == {"a": {"n": 1}}
    assert (fate(second), row(second).attempts, row(second).started_after) == ((S.SUCCEEDED, R.NONE), (), None)
    assert (row(first).sla_met, row(second).sla_met, row(second).confidence) == (False, True, 0.5)
    assert (noted(first), noted(second)) == ([], [("cache_hit", "age 1.5s")])
    assert second.report is not None
    assert (second.report.complete, second.report.coverage.ratio, second.report.elapsed) == (True, 1.0, 0)
    assert (len(lab.worker("a").calls), counts(lab)) == (1, {"miss": 1, "hit": 1})


@pytest.mark.fanmesh(conf(TTL))
async def test_an_answer_is_fresh_for_its_ttl(lab: Lab) -> None:
    """Counted from when it came. A hit does not make it younger."""
    lab.worker("a").plays(ends(1, after=ms(100)))
    await ask(lab)
    assert noted(await ask(lab, after=29_000)) == [("cache_hit", "age 29.0s")]
    assert noted(await ask(lab, after=999)) == [("cache_hit", "age 30.0s")]
    assert noted(await ask(lab, after=1)) == []
    assert len(lab.worker("a").calls) == 2


@pytest.mark.fanmesh(conf(TTL))
async def test_what_is_given_is_each_ones_own(lab: Lab) -> None:
    """Whoever changes an answer changes nobody else's."""
    lab.worker("a").plays(ends({"list": [1]}))
    for _ in range(3):
        reply = await ask(lab)
        assert reply.value == {"a": {"list": [1]}}
        value: Any = reply.value
        value["a"]["list"].append(2)
    assert len(lab.worker("a").calls) == 1


@pytest.mark.fanmesh(conf(TTL))
async def test_another_input_is_another_call(lab: Lab) -> None:
    """The same one, however its keys are ordered, is the same call."""
    lab.worker("a").plays(computes(lambda given: given["x"]))
    values = [(await ask(lab, given)).value for given in ({"x": 1, "y": 2}, {"y": 2, "x": 1}, {"x": 2, "y": 2})]
    assert (values, len(lab.worker("a").calls)) == ([{"a": 1}, {"a": 1}, {"a": 2}], 2)


@pytest.mark.fanmesh(conf({**TTL, "key": "${input.id}"}, output="${output + input.add}"))
async def test_a_key_of_ones_own(lab: Lab) -> None:
    """Calls with the same key are equal, whatever else they are sent; each maps the answer with its own input."""
    lab.worker("a").plays(ends(10))
    values = [(await ask(lab, {"id": 7, "add": add})).value for add in (1, 2)]
    both = await asyncio.gather(*(ask(lab, {"id": 8, "add": add}) for add in (3, 4)))
    assert (values, [reply.value for reply in both]) == ([{"a": 11}, {"a": 12}], [{"a": 13}, {"a": 14}])
    assert len(lab.worker("a").calls) == 2


@pytest.mark.fanmesh(conf({**TTL, "key": "${input.id}"}))
async def test_a_key_that_cannot_be_told(lab: Lab) -> None:
    """Then the call is made, as if there were no cache; the report says so."""
    lab.worker("a").plays(ends(1))
    for _ in range(2):
        assert noted(await ask(lab, {"no": "id"})) == [("cache_bypassed", "key")]
    assert (len(lab.worker("a").calls), counts(lab)) == (2, {"bypassed": 2})


@pytest.mark.fanmesh(conf({**TTL, "key": "same"}, workers={"a": {"attributes": ["tenant"], "metadata": ["authorization"]}}))
async def test_what_a_worker_is_told_of_its_caller_always_counts(lab: Lab) -> None:
    """Whatever the key says: another attribute, another `authorization`, is another call. What it is not told is not."""
    lab.worker("a").plays(ends(1))
    alike: dict[str, Any] = {"attributes": {"tenant": "x"}, "metadata": (("authorization", "t"),)}
    for other in (
        {},
        {"attributes": {"tenant": "y"}},
        {"attributes": {}},
        {"metadata": (("authorization", "u"),)},
        {"metadata": (("authorization", "t"), ("authorization", "t"))},
        {"metadata": ()},
        {"shadow": True},
        {"headers": (("fanmesh-hops", "3"),)},
    ):
        called = len(lab.worker("a").calls)
        for _ in range(2):
            await ask(lab, **{**alike, **other})
        assert len(lab.worker("a").calls) == called + 1, other
    called = len(lab.worker("a").calls)
    await ask(lab, **alike, headers=(("fanmesh-request-id", "another"),))
    assert len(lab.worker("a").calls) == called


@pytest.mark.fanmesh(conf({**TTL, "max_entries": 2}))
async def test_the_least_lately_used_makes_room(lab: Lab) -> None:
    """At `max_entries`."""
    lab.worker("a").plays(computes(lambda given: given))
    for given in (1, 2, 1, 3, 1):
        await ask(lab, given)
    assert lab.worker("a").calls == [1, 2, 3]
    await ask(lab, 2)
    assert lab.worker("a").calls == [1, 2, 3, 2]


@pytest.mark.fanmesh(conf({**TTL, "max_bytes": "10B"}))
async def test_an_answer_that_is_too_large_is_not_kept(lab: Lab) -> None:
    """At `max_bytes` of JSON."""
    lab.worker("a").plays(computes(lambda given: given))
    for given in ("12345678", "123456789"):
        for _ in range(2):
            await ask(lab, given)
    assert lab.worker("a").calls == ["12345678", "123456789", "123456789"]


# ---------------------------------------------------------------------- what is not kept


NOT_KEPT: dict[str, tuple[Script, dict[str, Any]]] = {
    "a fault": (fails("UNAVAILABLE"), {}),
    "a definite fault": (fails("NOT_FOUND"), {}),
    "a timeout": (hangs(), {"timeout": "20ms"}),
    "a default": (fails("INTERNAL"), {"if_missing": {"use": 7}}),
    "an answer that cannot be mapped": (ends("text"), {"output": "${output.n}"}),
    "a defect": (raises(RuntimeError("bug")), {}),
}


@pytest.mark.parametrize("what", NOT_KEPT)
def test_less_than_an_answer_is_never_kept(what: str) -> None:
    """Whoever asks next calls anew."""
    script, branch = NOT_KEPT[what]

    async def main() -> None:
        lab = Lab(conf(STALE, **branch))
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        lab.worker("a").plays(script)
        for _ in range(3):
            await ask(lab)
        assert (len(lab.worker("a").calls), len(lab.books.caches.branches["p", "a"].store)) == (3, 0)
        await lab.settle()
        lab.assert_nothing_left()

    run_virtual(main())


@pytest.mark.fanmesh(conf(TTL))
@pytest.mark.parametrize(("complete", "called"), [("true", 1), ("false", 2)])
async def test_the_degraded_answer_of_a_dispatcher_is_not_kept(lab: Lab, complete: str, called: int) -> None:
    """A worker that is a dispatcher says with a label that something is missing: a later call may have more."""
    lab.worker("a").plays(gives(Success(1, labels={"fanmesh-complete": complete})))
    for _ in range(2):
        assert (await ask(lab)).value == {"a": 1}
    assert len(lab.worker("a").calls) == called


@pytest.mark.fanmesh(conf(STALE))
async def test_what_stood_in_is_not_kept_again(lab: Lab) -> None:
    """Each request after it calls anew, and the older answer does not become younger by being given."""
    lab.worker("a").plays(then(ends(1), fails("UNAVAILABLE")))
    await ask(lab)
    told = [noted(await ask(lab, after=after))[0][1] for after in (40_000, 40_000)]
    assert (told, len(lab.worker("a").calls)) == (["UNAVAILABLE, age 40.0s", "UNAVAILABLE, age 80.0s"], 3)


# ---------------------------------------------------------------------- in the place of a failure


@pytest.mark.fanmesh(conf({**STALE, "coalesce": False}, sla="1s"))
async def test_an_older_answer_stands_in(lab: Lab) -> None:
    """FELL_BACK, with the reason of the failure: it counts in coverage, and the result is not complete."""
    lab.worker("a").plays(then(ends(1), fails("UNAVAILABLE", "gone away")))
    await ask(lab)
    reply = await ask(lab, after=31_000)
    told = row(reply)
    assert (reply.value, fate(reply)) == ({"a": 1}, (S.FELL_BACK, R.WORKER_ERROR))
    assert (told.code, told.detail, told.merged, told.sla_met) == (Code.UNAVAILABLE, "gone away", True, False)
    assert [attempt.won for attempt in told.attempts] == [False]
    assert noted(reply) == [("cache_stale", "UNAVAILABLE, age 31.0s")]
    assert reply.report is not None
    assert (reply.report.complete, reply.report.degraded.names(), reply.report.coverage.ratio) == (False, ("error",), 1.0)
    assert (reply.report.coverage.fell_back, counts(lab)) == (1, {"miss": 1, "stale": 1})


@pytest.mark.fanmesh(conf(STALE))
async def test_it_stands_in_for_so_long(lab: Lab) -> None:
    """`stale_on_error` behind its `ttl`, and not a moment longer."""
    lab.worker("a").plays(then(ends(1), fails("UNAVAILABLE")))
    await ask(lab)
    assert fate(await ask(lab, after=329_999)) == (S.FELL_BACK, R.WORKER_ERROR)
    assert fate(await ask(lab, after=1)) == (S.FAILED, R.WORKER_ERROR)


@pytest.mark.fanmesh(conf(TTL))
async def test_without_stale_on_error_nothing_stands_in(lab: Lab) -> None:
    """A failure is a failure, however well the answer of a moment ago is known."""
    lab.worker("a").plays(then(ends(1), fails("UNAVAILABLE")))
    await ask(lab)
    assert fate(await ask(lab, after=30_000)) == (S.FAILED, R.WORKER_ERROR)


@pytest.mark.fanmesh(conf(STALE))
async def test_an_answer_of_the_worker_is_not_hidden_by_an_older_one(lab: Lab) -> None:
    """NOT_FOUND is its newest word: told as it is, and from then on nothing older stands in for anything."""
    lab.worker("a").plays(then(ends(1), fails("NOT_FOUND"), fails("UNAVAILABLE")))
    await ask(lab)
    replies = [await ask(lab, after=31_000), await ask(lab)]
    assert [fate(reply) for reply in replies] == [(S.FAILED, R.WORKER_ERROR)] * 2
    assert [row(reply).code for reply in replies] == [Code.NOT_FOUND, Code.UNAVAILABLE]


@pytest.mark.fanmesh(conf(STALE, timeout="100ms"))
async def test_it_stands_in_at_the_hard_timeout(lab: Lab) -> None:
    """Also if the worker says nothing at all: at the branch's own timeout, whose reason is kept; the worker is cancelled."""
    lab.worker("a").plays(then(ends(1), hangs()))
    await ask(lab)
    reply = await ask(lab, after=31_000)
    assert reply.report is not None
    assert (reply.value, fate(reply), row(reply).code) == ({"a": 1}, (S.FELL_BACK, R.HARD_TIMEOUT), 0)
    assert (reply.report.elapsed, reply.report.degraded.names()) == (ms(100), ("hard_timeout",))
    assert noted(reply) == [("cache_stale", "DEADLINE_EXCEEDED, age 31.1s")]
    await lab.settle()
    assert (lab.worker("a").cancelled, counts(lab)) == (1, {"miss": 1, "stale": 1})


@pytest.mark.fanmesh(
    conf(STALE, workers={"a": {"policy": "quick"}}, policies={"quick": {"retry": {"per_try_timeout": "50ms"}}})
)
async def test_it_stands_in_when_all_attempts_are_spent(lab: Lab) -> None:
    """The attempts come first: only what the branch ends with is a failure."""
    lab.chance(0)
    lab.worker("a").plays(ends(1))
    await ask(lab)
    lab.worker("a").plays(hangs(), hangs(), fails("UNAVAILABLE"))
    reply = await ask(lab, after=31_000)
    assert (fate(reply), len(row(reply).attempts)) == ((S.FELL_BACK, R.WORKER_ERROR), 3)


@pytest.mark.fanmesh(conf({**STALE, "key": "k"}, timeout="100ms", output="${output[input]}"))
async def test_one_that_does_not_fit_does_not_stand_in(lab: Lab) -> None:
    """The `output` of this request cannot be evaluated on it: then the failure is told as it is."""
    lab.worker("a").plays(then(ends({"x": 1}), fails("UNAVAILABLE"), hangs()))
    assert (await ask(lab, "x")).value == {"a": 1}
    assert fate(await ask(lab, "y", after=31_000)) == (S.FAILED, R.WORKER_ERROR)
    assert fate(await ask(lab, "y")) == (S.TIMED_OUT, R.HARD_TIMEOUT)


@pytest.mark.fanmesh(conf(STALE, if_missing={"use": 7}, required=True))
async def test_it_stands_in_before_a_default_does(lab: Lab) -> None:
    """And for a required branch it is an answer."""
    lab.worker("a").plays(then(ends(1), fails("UNAVAILABLE")))
    await ask(lab)
    replies = [await ask(lab, after=31_000), await ask(lab, after=400_000)]
    assert [(fate(reply), reply.refusal is None) for reply in replies] == [
        ((S.FELL_BACK, R.WORKER_ERROR), True),
        ((S.DEFAULTED, R.WORKER_ERROR), False),  # nothing has answered: below the floor
    ]


@pytest.mark.fanmesh(conf({"ttl": "0s", "stale_on_error": "1m"}))
async def test_kept_for_failures_only(lab: Lab) -> None:
    """With a `ttl` of nothing every request calls, and the last answer stands in when the worker is away."""
    lab.worker("a").plays(then(ends(1), ends(2), fails("UNAVAILABLE")))
    replies = [await ask(lab) for _ in range(3)]
    assert [(reply.value, fate(reply)[0]) for reply in replies] == [
        ({"a": 1}, S.SUCCEEDED),
        ({"a": 2}, S.SUCCEEDED),
        ({"a": 2}, S.FELL_BACK),
    ]

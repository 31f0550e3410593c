"""Where fallbacks end: at what was sent, at what is out, and with the request."""

from __future__ import annotations

import asyncio

import pytest

from fanmesh.model.fault import Code, Fault, FaultKind
from fanmesh.model.states import BranchReason, BranchState
from fanmesh.testing import Lab, Script, ends, fails, hangs, ms, rubbish, streams
from tests.kit.fallbacks import DEEP, NO_FLOOR, B, conf, fate, noted
from tests.kit.plans import gives, oversize

R, S = BranchReason, BranchState


# ---------------------------------------------------------------------- writes


WRITES = {"a": {"effect": "write"}, "b": {"effect": "write"}}
UNSENT = gives(Fault(FaultKind.WORKER_ERROR, Code.UNAVAILABLE, sent=False))


@pytest.mark.fanmesh(conf({"fallback": B, "timeout": "100ms"}, workers=WRITES))
@pytest.mark.parametrize("script", [fails("UNAVAILABLE"), fails("INTERNAL"), hangs(), rubbish(), oversize()], ids=repr)
async def test_a_write_that_was_sent_has_no_fallback(lab: Lab, script: Script) -> None:
    """It may have been done, and b would do it again."""
    lab.worker("a").plays(script)
    r = await lab.dispatch("p")
    assert (lab.worker("b").calls, noted(r.report["a"])) == ([], [("fallback_denied", "write_sent")])
    assert r.report["a"].state in (S.FAILED, S.TIMED_OUT)
    lab.assert_nothing_left()


@pytest.mark.fanmesh(conf({"fallback": DEEP}, workers={**WRITES, "c": {"effect": "write"}}))
async def test_a_write_that_was_never_sent_has_one_and_no_second_once_that_was(lab: Lab) -> None:
    """B may have done it: c is not asked."""
    lab.worker("a").plays(UNSENT)
    lab.worker("b").plays(fails("INTERNAL"))
    r = await lab.dispatch("p")
    assert ([len(lab.worker(one).calls) for one in "abc"], noted(r.report["a"])[-1]) == (
        [1, 1, 0], ("fallback_denied", "write_sent"),
    )  # fmt: skip
    assert r.code is Code.ABORTED  # a write may have been done


@pytest.mark.fanmesh(
    conf({"fallback": B}, workers={name: {"effect": "write", "idempotent": True} for name in "ab"}, branches={"r": {}})
)
async def test_idempotent_writes_have_fallbacks_like_reads(lab: Lab) -> None:
    """Both workers say that twice is as good as once."""
    lab.worker("a").plays(fails("INTERNAL"))
    lab.worker("b").plays(ends(2))
    lab.worker("r").plays(ends(1))
    r = await lab.dispatch("p")
    assert r.value == {"a": 2, "r": 1}


@pytest.mark.fanmesh(conf({"fallback": B}, workers=WRITES, branches={"r": {}}, complete={"until": "first"}))
async def test_a_write_that_was_left_behind_asks_nobody_else(lab: Lab) -> None:
    """The request is over when it fails: nothing more is spent."""
    lab.worker("r").plays(ends(1, after=ms(10)))
    lab.worker("a").plays(gives(Fault(FaultKind.WORKER_ERROR, Code.UNAVAILABLE, sent=False), after=ms(50)))
    await lab.dispatch("p")
    await asyncio.sleep(0.1)
    assert lab.worker("b").calls == []
    lab.assert_nothing_left()


# ---------------------------------------------------------------------- streams


@pytest.mark.fanmesh(conf({"fallback": B}, streaming=("a", "b"), accept=NO_FLOOR))
async def test_after_a_part_is_out_there_is_no_fallback(lab: Lab) -> None:
    """The caller may have seen it: a's parts are kept, and b's would be another answer in their place."""
    lab.worker("a").plays(streams([["x"]], every=ms(5), then=fails("UNAVAILABLE")))
    r = await lab.dispatch("p")
    row = r.report["a"]
    assert (fate(row)[:2], r.value, lab.worker("b").calls) == ((S.FAILED, R.STREAM_BROKEN), {"a": ["x"]}, [])
    assert noted(row) == [("fallback_denied", "committed")]


@pytest.mark.fanmesh(conf({"fallback": B, "on_stream_failure": "discard"}, streaming=("a", "b")))
async def test_parts_that_were_held_back_are_replaced_whole(lab: Lab) -> None:
    """With `discard` nothing of a is out: b's parts alone are the answer."""
    lab.worker("a").plays(streams([["x"]], every=ms(5), then=fails("UNAVAILABLE")))
    lab.worker("b").plays(streams([["y"], ["z"]], every=ms(5)))
    r = await lab.dispatch("p")
    assert (fate(r.report["a"]), r.value) == ((S.FELL_BACK, R.STREAM_BROKEN, "b"), {"a": ["y", "z"]})
    lab.assert_nothing_left()


@pytest.mark.fanmesh(conf({"fallback": B}, streaming=("b",)))
async def test_a_streaming_fallback_of_a_unary_worker(lab: Lab) -> None:
    """Its parts are the branch's parts; the attempt's number tells them apart."""
    lab.worker("a").plays(fails("INTERNAL"))
    lab.worker("b").plays(streams([["y"], ["z"]], every=ms(5)))
    r = await lab.dispatch("p")
    assert (fate(r.report["a"]), r.value) == ((S.FELL_BACK, R.WORKER_ERROR, "b"), {"a": ["y", "z"]})


@pytest.mark.fanmesh(conf({"fallback": DEEP}, streaming=("b",), accept=NO_FLOOR))
async def test_a_fallbacks_broken_stream_is_kept_like_a_workers(lab: Lab) -> None:
    """Its parts are in the result: they stay, the branch is STREAM_BROKEN, and nobody else is asked."""
    lab.worker("a").plays(fails("INTERNAL"))
    lab.worker("b").plays(streams([["y"]], every=ms(5), then=fails("UNAVAILABLE")))
    r = await lab.dispatch("p")
    assert (fate(r.report["a"]), r.value) == ((S.FAILED, R.STREAM_BROKEN, "b"), {"a": ["y"]})
    assert (r.report.degraded.partial_branch, lab.worker("c").calls) == (True, [])


@pytest.mark.fanmesh(conf({"fallback": B}, streaming=("a",)))
async def test_a_unary_fallback_of_a_streaming_worker(lab: Lab) -> None:
    """A stream that fails before its first part is a failure like any other."""
    lab.worker("a").plays(fails("UNAVAILABLE"))
    lab.worker("b").plays(ends(["whole"]))
    r = await lab.dispatch("p")
    assert (fate(r.report["a"]), r.value) == ((S.FELL_BACK, R.WORKER_ERROR, "b"), {"a": ["whole"]})


# ---------------------------------------------------------------------- the request's own end


@pytest.mark.fanmesh(conf({"fallback": B, "soft_timeout": "50ms"}, branches={"x": {}}))
async def test_a_soft_timeout_leaves_the_fallback_behind_too(lab: Lab) -> None:
    """It counts from the branch's first send, whoever is asked by then; b is cancelled."""
    lab.worker("a").plays(fails("INTERNAL", after=ms(20)))
    b = lab.worker("b").plays(hangs())
    lab.worker("x").plays(ends(1, after=ms(60)))
    r = await lab.dispatch("p")
    assert (fate(r.report["a"])[:2], r.elapsed) == ((S.CANCELLED, R.SOFT_TIMEOUT), ms(60))
    await lab.settle()
    assert b.cancelled == 1
    lab.assert_nothing_left()


@pytest.mark.fanmesh(conf({"fallback": DEEP}))
async def test_a_caller_that_goes_ends_whoever_is_asked(lab: Lab) -> None:
    """Nothing more is spent: c is not asked."""
    lab.worker("a").plays(fails("INTERNAL", after=ms(10)))
    b = lab.worker("b").plays(hangs())
    running = asyncio.ensure_future(lab.dispatch("p"))
    await asyncio.sleep(0.05)
    running.cancel()
    await asyncio.wait([running])
    await lab.settle()
    assert (b.cancelled, lab.worker("c").calls) == (1, [])
    lab.assert_nothing_left()


@pytest.mark.fanmesh(conf({"fallback": B, "sla": "100ms"}))
@pytest.mark.parametrize(("after", "met"), [(60, True), (160, False)])
async def test_the_sla_is_the_branchs_whoever_answers(lab: Lab, after: int, *, met: bool) -> None:
    """From its first send to the fallback's answer."""
    lab.worker("a").plays(fails("INTERNAL", after=ms(30)))
    lab.worker("b").plays(ends(1, after=ms(after)))
    r = await lab.dispatch("p")
    assert r.report["a"].sla_met is met

import asyncio

import pytest
from opentelemetry.trace import SpanKind, get_current_span

from fanmesh.model.fault import Code, Fault
from fanmesh.runtime.traceparent import Ids, render
from fanmesh.runtime.tracing import OFF, MergeSpan, ServerSpan
from tests.kit.recording import Recording

CALLER = Ids(0xABC, 0xDEF, 1, "a=1")


def test_a_workers_span_is_the_attempts_child() -> None:
    """SERVER, in the caller's trace, with what the SDK wants to say of the call."""
    recording = Recording()
    with ServerSpan(recording, "s/m", render(CALLER), "a=1", {"fanmesh.worker": "geo"}) as span:
        recording.time += 5
    (made,) = recording.spans
    assert span.ids == made.ids == Ids(0xABC, 1, 1, "a=1")
    assert (made.name, made.kind, made.parent, made.remote) == ("s/m", SpanKind.SERVER, 0xDEF, True)
    assert (made.end - made.start, made.error) == (5, None)
    assert made.attributes == {
        "rpc.system.name": "grpc",
        "rpc.method": "s/m",
        "rpc.response.status_code": "OK",
        "fanmesh.worker": "geo",
    }


@pytest.mark.parametrize(
    ("raised", "code", "failed"),
    [
        (Fault.unavailable("secret"), Code.UNAVAILABLE, True),
        (Fault.not_found("secret"), Code.NOT_FOUND, False),
        (ValueError("secret"), Code.INTERNAL, True),
        (asyncio.CancelledError(), Code.CANCELLED, False),
    ],
)
def test_an_exception_gives_the_code(raised: BaseException, code: Code, *, failed: bool) -> None:
    """It goes on to the caller; what it says stays out of the span; being cancelled is no error."""
    recording = Recording()
    with pytest.raises(type(raised)), ServerSpan(recording, "s/m", render(CALLER)) as span:
        raise raised
    (made,) = recording.spans
    assert span.code is code
    assert made.attributes["rpc.response.status_code"] == code.name
    assert made.error == (code.name if failed else None)
    assert "secret" not in str(made)


@pytest.mark.parametrize("traceparent", ["", "rubbish", render(CALLER._replace(flags=0))])
def test_an_unsampled_call_has_no_span(traceparent: str) -> None:
    """Neither a worker's nor an aggregator's."""
    recording = Recording(roots=False)
    with ServerSpan(recording, "s/m", traceparent) as span:
        span.make_current()
        assert not get_current_span().get_span_context().is_valid
    merge = MergeSpan(recording, traceparent)
    merge.arrived("a", b"12345678", 1)
    merge.end(["a"], {})
    assert (span.ids, recording.spans) == (None, [])


def test_a_worker_without_an_exporter_costs_nothing() -> None:
    """The header is not even parsed."""
    with ServerSpan(OFF, "s/m", render(CALLER)) as span:
        pass
    MergeSpan(OFF, render(CALLER)).end([], {})
    assert span.ids is None


def test_a_handlers_own_spans_nest_and_stay_in_their_task() -> None:
    """Current for the code of the call that said so; for no other call, and not afterwards."""
    recording = Recording()
    seen: dict[str, int] = {}

    async def handler(name: str, *, current: bool) -> None:
        with ServerSpan(recording, "s/m", render(CALLER)) as span:
            if current:
                span.make_current()
            seen[name] = get_current_span().get_span_context().span_id

    async def calls() -> None:
        await asyncio.gather(handler("a", current=True), handler("b", current=False))

    asyncio.run(calls())
    assert seen == {"a": 1, "b": 0}
    assert not get_current_span().get_span_context().is_valid


def test_the_merge_links_to_the_last_attempt_of_each_merged_branch() -> None:
    """A branch that is not in the result has no link, nor has one that was not traced."""
    recording = Recording()
    merge = MergeSpan(recording, render(CALLER))
    merge.arrived("a", (1).to_bytes(8, "big"), 1)
    merge.arrived("a", (2).to_bytes(8, "big"), 3)
    merge.arrived("b", (3).to_bytes(8, "big"), 1)
    merge.arrived("c", b"", 0)
    merge.end(["a", "c"], {"fanmesh.plan": "p"}, Code.INTERNAL)
    (made,) = recording.spans
    assert made.links == (Ids(0xABC, 2, 3),)
    assert (made.parent, made.remote, made.error) == (0xDEF, True, "INTERNAL")

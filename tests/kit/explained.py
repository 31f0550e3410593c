"""What Explain says of plans, without a dispatcher: for tests of pictures."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from google.protobuf.duration_pb2 import Duration
from hypothesis import strategies as st

from dispatcher.model.request import Request
from dispatcher.wire.explain import explainer
from fanmesh.payload import Box
from fanmesh.testing import Lab, run_virtual
from fanmesh.v1.dispatcher_pb2 import ExplainNode, ExplainResponse


def span(milliseconds: int) -> Duration:
    """As the protocol has it."""
    return Duration(nanos=milliseconds * 1_000_000)


def node(
    branch: str, *, asks: Collection[str] = (), feeds: Collection[str] = (), after: Collection[str] = (), **more: Any
) -> ExplainNode:
    """A node that runs within 900 ms. `more`: further fields; times in ms."""
    times = {name: span(more.pop(name)) for name in ("deadline", "ends_by", "min_time", "soft_timeout") if name in more}
    given: dict[str, Any] = {"runs": True, "worker": branch, "deadline": span(900), "ends_by": span(900), **times, **more}
    waits = list(dict.fromkeys([*feeds, *asks, *after]))
    return ExplainNode(branch=branch, waits_for=waits, asks=asks, feeds=feeds, conditional=bool(asks), **given)


def told(*nodes: ExplainNode) -> ExplainResponse:
    """A plan `p` of these nodes."""
    answer = ExplainResponse(plan="p", total=span(925), stop=span(900), nodes=nodes)
    answer.merge.kind = "collect"
    return answer


@st.composite
def plans(draw: st.DrawFn, largest: int = 30) -> list[ExplainNode]:
    """Nodes that wait for up to three earlier ones each, for every reason; plan order is not the order in which they run.

    One number a node and one text a plan: drawing takes longer than what is tested otherwise.
    """
    text, nodes = draw(st.text(max_size=80)), list[ExplainNode]()
    for at, bits in enumerate(draw(st.lists(st.integers(0, (1 << 24) - 1), min_size=1, max_size=largest))):
        waits: dict[int, set[str]] = {kind: set() for kind in range(4)}
        for edge in (bits, bits >> 8, bits >> 16):
            if at:
                waits[edge & 3].add(f"n{(edge >> 2 & 31) % at}")
        asks, feeds, after, _ = waits.values()
        condition, required = text if bits & 128 else "", bool(bits >> 8 & 128)
        nodes.append(
            node(f"n{at}", asks=sorted(asks), feeds=sorted(feeds), after=sorted(after), condition=condition, required=required)
        )
    first = draw(st.integers(0, len(nodes) - 1))
    return [*nodes[first:], *nodes[:first]][:: draw(st.sampled_from((1, -1)))]


def explain(configuration: str, plan: str) -> ExplainResponse:
    """What Explain says of a plan of that configuration, for an empty input, and without a network."""

    async def ask() -> ExplainResponse:
        lab = Lab(configuration)
        request = Request("r", plan, Box.of({}), lab.clock.now())
        answer = explainer(lab._engine, lambda _: [])(lab.config.catalogue, request)
        assert isinstance(answer, ExplainResponse)
        return answer

    return run_virtual(ask())

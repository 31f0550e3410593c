"""`fanmesh explain`: what would run, and when at the latest; no worker is called."""

from __future__ import annotations

import asyncio
import io
from dataclasses import replace
from pathlib import Path
from textwrap import wrap
from typing import Annotated, Final, Literal

from cyclopts import Parameter
from google.protobuf.json_format import MessageToDict

from fanmesh.cli.bars import Axis, ratio, time
from fanmesh.cli.calling import SERVER, Attributes, Data, Question, explained, question
from fanmesh.cli.drawing.mermaid import mermaid
from fanmesh.cli.drawing.svg import svg
from fanmesh.cli.drawing.tree import tree
from fanmesh.cli.drawing.words import condition, ends_by, for_each
from fanmesh.cli.ends import Exit, Output, Stop
from fanmesh.cli.say import document, table, width
from fanmesh.client import AsyncClient, Client
from fanmesh.model.states import BranchReason, IfMissing
from fanmesh.reporting import nanoseconds
from fanmesh.v1.dispatcher_pb2 import ExplainNode, ExplainResponse

CELLS: Final = 56
"""Width of the time line."""

MISSING: Final = {IfMissing.SKIP: "left out", IfMissing.USE: "a default", IfMissing.FAIL: "the call fails"}


def explain(
    plan: Annotated[str, Parameter(name="PLAN")] = "",
    /,
    *,
    config: Path | None = None,
    server: str | None = None,
    data: Data = "{}",
    timeout: str | None = None,
    attr: Attributes = (),
    graph: Literal["text", "mermaid", "svg"] = "text",
    output: Output = "text",
) -> int:
    """Ask a running dispatcher, or a configuration file.

    Args:
        plan: The plan; without it the routes choose.
        config: A configuration to explain without a dispatcher.
        server: Where the dispatcher listens; 127.0.0.1:50050 if neither is given.
        data: The input, which conditions read: JSON, @file, or - for stdin.
        timeout: The caller's deadline, such as 300ms.
        attr: An attribute, name=value; may be repeated.
        graph: How the graph of the plan is drawn: among the text; or alone, as a Mermaid flowchart or an SVG file.
        output: Text, or one JSON document.
    """
    if config is not None and server is not None:
        raise Stop("--config and --server: one of them", "leave the other out", Exit.USAGE)
    if graph != "text" and output == "json":
        raise Stop("--graph and -o json: one of them", "leave the other out", Exit.USAGE)
    asked = question(plan, data, attr, timeout)
    if config is not None:
        told = asyncio.run(_offline(config, asked))
    else:
        with Client(server or SERVER) as client, explained(server or SERVER):
            told = client.explain(asked.plan, asked.data, **asked.options())
    if output == "json":
        document(MessageToDict(told, preserving_proto_field_name=True, always_print_fields_with_no_presence=True))
    elif graph != "text":
        print(mermaid(told.nodes) if graph == "mermaid" else svg(told))
    else:
        _print(told)
    return Exit.OK


async def _offline(file: Path, asked: Question) -> ExplainResponse:
    """Start a dispatcher of that configuration on a free port and ask it: the same code answers as in production."""
    from dispatcher.settings import Settings  # noqa: PLC0415  (a caller needs no dispatcher)
    from fanmesh.cli.loading import load_or_stop  # noqa: PLC0415  (same)
    from fanmesh.cli.serve import started  # noqa: PLC0415  (same)
    from fanmesh.runtime import logs  # noqa: PLC0415  (same)

    logs.configure(io.StringIO())
    config = load_or_stop(file)
    quiet = replace(config, server=replace(config.server, listen="127.0.0.1:0", metrics=None, aggregator="embedded", drain=0))
    dispatcher = await started(quiet, Settings(ready_within=0.0))
    try:
        async with AsyncClient(f"127.0.0.1:{dispatcher.port}") as client:
            with explained(str(file)):
                return await client.explain(asked.plan, asked.data, **asked.options())
    finally:
        await dispatcher.stop()


def _print(told: ExplainResponse) -> None:
    route = f" (route: {told.route})" if told.route else ""
    print(f"plan {told.plan}{route}  config {told.config_version}")
    total, stop = nanoseconds(told.total), nanoseconds(told.stop)
    soft = time(nanoseconds(told.soft_timeout)) if told.HasField("soft_timeout") else "none"
    print(f"T {time(total)} · stop {time(stop)} · soft {soft} · merge {told.merge.kind} · {_floor(told)}")
    print(*wrap(f"until {until(told)}", width(), subsequent_indent="      "), "", sep="\n")
    rows = [_words(node) for node in told.nodes]
    table(("branch", "endpoints", "deadline", "soft", "sla", "weight", "if missing", "runs"), rows)
    if drawn := tree(told.nodes, width()):
        print(f"\n{drawn}\n")
    for node in told.nodes:
        for said in () if drawn else filter(None, (condition(node), for_each(node))):
            print(f"  {node.branch} {said}"[: width()])
    print(layers(told), timeline(told), sep="\n")


def layers(told: ExplainResponse) -> str:
    """What the calls pass through, once for all branches whose calls pass through the same; a layer a line."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for node in told.nodes:
        alike.setdefault(tuple(node.layers), []).append(node.branch)
    lines = []
    for passed, branches in alike.items():
        whose = "each call" if len(alike) == 1 else ", ".join(branches)
        lines.append(f"{whose}:"[: width()])
        lines += (line for layer in passed for line in wrap(layer, width(), initial_indent="  → ", subsequent_indent="      "))
    return "\n".join([*lines, ""])


def until(told: ExplainResponse) -> str:
    """The rules that complete it early, as they are written in a configuration; the first that is met does."""
    rules = []
    for rule in told.completion.until:
        match rule.WhichOneof("rule"):
            case "predicate":
                interval = nanoseconds(told.predicate_min_interval)
                rules.append(f"{told.predicate}{f' (asked every {time(interval)} at most)' if interval else ''}")
            case "quiet":
                rules.append(f"quiet for {time(nanoseconds(rule.quiet))}")
            case "count" | "coverage" | "confidence" as kind:
                rules.append(f"{kind} {getattr(rule, kind):g}")
            case kind:
                rules.append(str(kind))
    return " or ".join(rules)


def _floor(told: ExplainResponse) -> str:
    rule = MessageToDict(told.completion, preserving_proto_field_name=True)
    floor = f"at least {rule['min_success']} answers" if rule.get("min_success") else "no answer needed"
    coverage = f", coverage {ratio(rule['min_coverage'])}" if rule.get("min_coverage") else ""
    return f"floor: {floor}{coverage}"


def _words(node: ExplainNode) -> list[str]:
    def span(field: str) -> str:
        return time(nanoseconds(getattr(node, field))) if node.HasField(field) else "–"

    name = node.branch if node.worker == node.branch else f"{node.branch} ← {node.worker}"
    endpoints = "\n".join(node.endpoints) or f"none ({node.target})"
    missing = "the call fails" if node.required else MISSING[IfMissing(node.if_missing or IfMissing.SKIP)]
    runs = ("maybe" if node.conditional else "yes") if node.runs else BranchReason(node.reason).name
    return [name, endpoints, span("deadline"), span("soft_timeout"), span("sla"), f"{node.weight:g}", missing, runs]


def timeline(told: ExplainResponse) -> str:
    """How long each branch may take: solid while it is waited for, light until its deadline; and where the request ends.

    When a node starts that waits for others is not known: a thin line until the time that is kept for it.
    """
    total, stop = nanoseconds(told.total), nanoseconds(told.stop)
    axis = Axis(total, CELLS)
    lead = max([len(node.branch) for node in told.nodes] + [len("request")]) + 2
    lines = [f"{'':<{lead}}{axis.ruler()}".rstrip()]
    for node in told.nodes:
        deadline = nanoseconds(node.deadline)
        soft = nanoseconds(node.soft_timeout) if node.HasField("soft_timeout") and not node.required else deadline
        if not node.runs:
            bar = "· not sent"
        elif node.waits_for:
            bar = _window(node, axis)
        else:
            waited = axis.bar(0, min(soft, deadline), "━", "┤").rstrip()
            bar = waited + axis.bar(0, deadline, "░", "┃").rstrip()[len(waited) :]
        lines.append(f"{node.branch:<{lead}}{bar}")
    ending = axis.bar(0, stop, "─", "┃").rstrip()
    reserve = axis.bar(0, total, "╌", "│").rstrip()[len(ending) :]
    lines.append(f"{'request':<{lead}}{ending}{reserve}  stop {time(stop)}")
    if any(node.waits_for and node.runs for node in told.nodes):
        lines.append(f"{'':<{lead}}┄ starts when what it waits for has ended · ━ the min_time that is kept for it")
    return "\n".join(lines)


def _window(node: ExplainNode, axis: Axis) -> str:
    """Of a node that waits for others: any time until it must have ended, the last of it kept for it by those before it."""
    by = ends_by(node)
    kept = nanoseconds(node.min_time) if node.HasField("min_time") else 0
    bar = axis.bar(0, by, "┄", "┃").rstrip()
    if kept:
        start = axis.bar(0, max(0, by - kept), "┄").rstrip()
        bar = start[: len(bar) - 2] + "━" * (len(bar) - 1 - len(start[: len(bar) - 2])) + "┃"
    words = [f"timeout {time(nanoseconds(node.deadline))}"] if nanoseconds(node.deadline) < by else []
    return "  ".join([bar, *words, *([f"min {time(kept)}"] if kept else [])])

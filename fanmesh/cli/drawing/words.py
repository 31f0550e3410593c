"""What a picture says of a node."""

from __future__ import annotations

from fanmesh.cli.bars import time
from fanmesh.model.states import BranchReason
from fanmesh.reporting import nanoseconds
from fanmesh.v1.dispatcher_pb2 import ExplainNode


def ends_by(node: ExplainNode) -> int:
    """When it must have ended at the latest, in ns since the request arrived."""
    by = nanoseconds(node.ends_by if node.HasField("ends_by") else node.deadline)
    return by if node.waits_for else min(by, nanoseconds(node.deadline))


def times(node: ExplainNode) -> list[str]:
    """`by 975 ms`, its timeout if that is shorter and begins nobody knows when, and the least time it is tried with."""
    said = [f"by {time(ends_by(node))}"]
    if node.waits_for and nanoseconds(node.deadline) < ends_by(node):
        said.append(f"timeout {time(nanoseconds(node.deadline))}")
    if node.HasField("min_time"):
        said.append(f"min {time(nanoseconds(node.min_time))}")
    return said


def fate(node: ExplainNode) -> str:
    """Why it does not run, if that is known; empty if it does, or may."""
    return "" if node.runs else f"not sent: {BranchReason(node.reason).name}"


def condition(node: ExplainNode) -> str:
    """Its `if`, on one line; empty if it has none."""
    return f"if {_line(node.condition)}" if node.condition else ""


def for_each(node: ExplainNode) -> str:
    """The list that it is called for each item of, on one line; empty if it is called once."""
    return f"for each of {_line(node.for_each)}" if node.for_each else ""


def _line(text: str) -> str:
    """On one line, and nothing in it that a terminal would obey, or that XML has no place for."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def cut(text: str, cells: int) -> str:
    """At most `cells` characters."""
    return text if len(text) <= cells else f"{text[: cells - 1].rstrip()}…"

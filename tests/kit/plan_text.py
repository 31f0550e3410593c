"""Configurations of one plan, of which a test writes the branches, and what is said about them."""

from __future__ import annotations

from collections.abc import Callable

from dispatcher.config import Problem

HEAD = """\
version: 1
attributes: [risk]
workers:
  a: {target: "a:1", effect: read}
  b: {target: "b:1", effect: read}
  c: {target: "c:1", effect: read}
  s: {target: "s:1", effect: read, stream: true}
  w: {target: "w:1", effect: write}
plans:
  p:
    budget: {latency: 1s}
"""


def text(body: str) -> str:
    """A configuration whose plan says `body`."""
    return HEAD + "\n".join(f"    {line}" for line in body.strip("\n").split("\n")) + "\n"


def told(wrong: Callable[..., list[Problem]], body: str) -> list[str]:
    """What is said about it, the unused workers aside."""
    problems = wrong(text=text(body))
    return [f"{p.path}: {p.message}" for p in problems if not p.message.startswith("no plan uses")]

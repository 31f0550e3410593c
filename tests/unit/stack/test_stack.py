"""The order of the layers is the order of the list, and nothing is there that was not put in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import dispatcher.stack
from dispatcher.stack import stack

Call = Callable[[str], str]


def named(name: str) -> Callable[[Call], Call]:
    """A layer that leaves its name around what is below."""
    return lambda below: lambda given: f"{name}({below(given)})"


def test_no_layers() -> None:
    """`stack([], leaf)` is the leaf itself: a policy that is off costs nothing."""
    leaf: Call = str.upper
    assert stack([], leaf) is leaf


def test_the_first_is_outermost() -> None:
    """The first layer of the list sees a call first."""
    assert stack([named("a"), named("b"), named("c")], str.upper)("x") == "a(b(c(X)))"


def test_the_order_is_that_of_the_design() -> None:
    """The numbers beside the layers stand in the order of the design: observe 1, queue 2, attempts 3, pick 5, leaf 7."""
    source = Path(dispatcher.stack.__file__).read_text(encoding="utf-8")
    assert source.index("choose(endpoints, books, now=now, uniform=uniform),  # 5") < source.index("shape,  # 6")
    assert source.index("observe(around.observer),  # 1") < source.index("# 2: waiting") < source.index("# 3: the joint")
    assert '"""7: the only I/O' in source

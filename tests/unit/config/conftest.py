"""A valid configuration that tests bend in one place each, and the real merges."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from aggregator.engine.merges import compile_merge, merge_schema
from dispatcher.config import Config, ConfigErrors, MergeCatalogue, Problem, load_text

BASE = """\
version: 1
attributes: [task, risk]
workers:
  phone: {target: "phone:50051", effect: read}
  geo: {target: "geo:50051", effect: read, attributes: [task]}
plans:
  enrich:
    budget: {latency: 1s}
    branches:
      phone: {required: true, timeout: 300ms}
      geo: {soft_timeout: 200ms, timeout: 400ms}
    complete: {until: all}
routes:
  - {plan: enrich}
"""


@pytest.fixture
def merges() -> MergeCatalogue:
    return MergeCatalogue(compile_merge, merge_schema())


@pytest.fixture
def load(merges: MergeCatalogue) -> Callable[..., Config]:
    """Load the base configuration with one text replaced by another, or a whole text."""

    def load(old: str = "", new: str = "", *, text: str = BASE) -> Config:
        assert old in text
        return load_text(text.replace(old, new, 1) if old else text, filename="f.yaml", merges=merges)

    return load


@pytest.fixture
def wrong(load: Callable[..., Config]) -> Callable[..., list[Problem]]:
    """The problems of such a configuration: its errors, or its warnings if it loads."""

    def wrong(old: str = "", new: str = "", *, text: str = BASE) -> list[Problem]:
        try:
            return list(load(old, new, text=text).warnings)
        except ConfigErrors as errors:
            return list(errors.problems)

    return wrong

"""What the code says of what manifests name: commands, variables, metrics."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from opentelemetry.sdk import environment_variables

from dispatcher.assembly import MERGES
from dispatcher.config import Config, load_text
from dispatcher.model.policy import OverloadRule
from dispatcher.policies.books import Books
from dispatcher.wire.book_measures import BookMeasures
from dispatcher.wire.door import Door, Signals
from dispatcher.wire.measures import Measures
from fanmesh.cli.main import app
from fanmesh.runtime.metrics import Family
from tests.kit.programs import ROOT


def command(arguments: Sequence[str]) -> dict[str, Any]:
    """What `fanmesh ARGUMENTS` would call its verb with, by parameter, `verb` among them. Fails as the command line would."""
    verb, bound, _ = app().parse_args(list(arguments), exit_on_error=False, print_error=False)
    return {"verb": verb.__name__, **bound.arguments}


def configuration(text: str) -> Config:
    """Load it as a dispatcher does; AssertionError if there is so much as a warning."""
    config = load_text(text, filename="fanmesh.yaml", merges=MERGES)
    assert config.warnings == ()
    return config


@cache
def variables() -> frozenset[str]:
    """The environment variables that are read: by our own code, and by OpenTelemetry's SDK and exporters."""
    ours = {
        name
        for file in (ROOT / "fanmesh").rglob("*.py")
        for name in re.findall(r'environ\.(?:text|flag|integer|choice)\(\s*"([A-Z_]+)"', file.read_text())
    }
    theirs = {value for value in vars(environment_variables).values() if isinstance(value, str) and value.startswith("OTEL_")}
    return frozenset(ours | theirs)


@cache
def families() -> tuple[Family, ...]:
    """Everything that a dispatcher counts."""
    signals = Signals(now=lambda: 0, lag=lambda: 0, memory=lambda: 0, u=lambda: 0.0)
    measures = Measures(lambda: 0, lambda: "")
    return (
        *measures.families,
        *Door(OverloadRule, signals).families,
        *BookMeasures(Books(), dict, lambda: 0).families,
    )

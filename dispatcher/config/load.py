"""Text, file or mapping → Config, or every problem at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

from dispatcher.config.build import build
from dispatcher.config.build_server import build_server
from dispatcher.config.checks import check
from dispatcher.config.document import Document, from_mapping
from dispatcher.config.merges import MergeCatalogue
from dispatcher.config.parse import parse
from dispatcher.config.policies import resolve
from dispatcher.config.problems import ConfigErrors, Problem
from dispatcher.config.settings import Config
from dispatcher.config.yaml12 import parse as parse_yaml

MAX_BYTES: Final = 2**20
"""A longer file is no configuration; together with MAX_VALUES this keeps the worst text to a few seconds."""


def load_text(text: str, *, filename: str, merges: MergeCatalogue, local: Collection[str] = ()) -> Config:
    """Load YAML. `filename` is what messages begin with; `local` names workers that are given as coroutines.

    Raises ConfigErrors, and nothing else whatever the text is.
    """
    if len(text) > MAX_BYTES:
        raise ConfigErrors([Problem(filename, 1, 1, "", f"longer than {MAX_BYTES} characters", expected="a configuration")])
    return _load(parse_yaml(text, filename), merges, local)


def load_file(path: Path | str, merges: MergeCatalogue, *, local: Collection[str] = ()) -> Config:
    """Load a YAML file, UTF-8. Raises ConfigErrors, also if the file cannot be read."""
    try:
        data = Path(path).read_bytes()
        text = data.decode() if len(data) <= 4 * MAX_BYTES else " " * (MAX_BYTES + 1)
    except OSError as error:
        raise ConfigErrors([Problem(str(path), 0, 0, "", f"cannot be read: {error.strerror or error}")]) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigErrors([Problem(str(path), line, 1, "", "is not UTF-8", expected="text in UTF-8")]) from error
    return load_text(text, filename=str(path), merges=merges, local=local)


def load_mapping(
    value: Mapping[str, Any], merges: MergeCatalogue, *, name: str = "configuration", local: Collection[str] = ()
) -> Config:
    """Load a configuration written in Python: the same keys and the same checks, without lines. Raises ConfigErrors."""
    return _load(from_mapping(value, name), merges, local)


def _load(document: Document, merges: MergeCatalogue, local: Collection[str]) -> Config:
    parsed = parse(document)
    policies = resolve(parsed)
    check(parsed, policies, local)
    if (shape := parsed.shape) is None:
        raise ConfigErrors(parsed.problems)
    catalogue = build(shape, parsed, policies, merges, local)
    if any(problem.severity == "error" for problem in parsed.problems):
        raise ConfigErrors(parsed.problems)
    warnings = tuple(sorted(parsed.problems, key=lambda problem: (problem.line, problem.column)))
    return Config(catalogue, build_server(shape.server), dict(shape.dev), warnings, catalogue.version)

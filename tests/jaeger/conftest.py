"""Collected only by name, as `make test-jaeger` does: it needs a program that takes minutes to build."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.jaeger.asking import everything
from tests.jaeger.backend import BINARY, Jaeger
from tests.jaeger.told import Told, whole
from tests.kit.programs import ROOT

HERE = Path(__file__).parent
KEEP = "--keep-trace"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Known only if this folder was named, since otherwise this file is read too late."""
    parser.addoption(KEEP, type=Path, help="write what Jaeger's API says of the request with every trouble into this file")


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Nothing here, unless this folder or a file of it is among the arguments."""
    named = [(config.invocation_params.dir / argument.partition("::")[0]).resolve() for argument in config.args]
    return None if any(path.is_relative_to(HERE) for path in named) else True


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Told]:
    """One run for all tests: a trace is read, and changes nothing."""
    if not BINARY.exists():
        pytest.fail(f"{BINARY.relative_to(ROOT)} is missing; `make test-jaeger` builds it first", pytrace=False)
    directory = tmp_path_factory.mktemp("jaeger")
    with Jaeger(directory) as jaeger:
        asked = asyncio.run(everything(directory, jaeger.endpoint))
        traces = {name: whole(jaeger, one) for name, one in asked.items() if name != "not sampled"}
        if (file := pytestconfig.getoption(KEEP)) is not None:
            file.write_text(json.dumps(traces["everything"].raw, indent=1, sort_keys=True) + "\n", "utf-8")
        yield Told(jaeger, asked, traces)

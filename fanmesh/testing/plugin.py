"""The pytest plugin: tests that ask for `lab` run on virtual time.

Through a tryfirst `pytest_pyfunc_call` and not through a loop fixture of an asyncio plugin: those hooks are global, and would
move everyone else's tests to virtual time too. Nothing of Fanmesh is imported until a test asks for the fixture.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from fanmesh.testing.lab import Lab


def pytest_addoption(parser: pytest.Parser) -> None:
    """The ini option that says which configuration the Lab loads."""
    parser.addini("fanmesh_config", "configuration that the `lab` fixture loads, relative to the root", default="fanmesh.yaml")


def pytest_configure(config: pytest.Config) -> None:
    """The mark that overrides it for one test."""
    config.addinivalue_line("markers", "fanmesh(config): the Lab's configuration: a path, YAML text with a newline, or a dict")


class _Later:
    """Stands for the Lab until the loop runs, in which it has to be made."""

    def __init__(self, config: Any) -> None:
        self.config = config

    def __getattr__(self, name: str) -> Any:
        """There is no Lab yet: say where there is one."""
        raise RuntimeError(f"lab.{name}: a Lab exists only inside an `async def` test, while its virtual loop runs")


@pytest.fixture
def lab(request: pytest.FixtureRequest) -> Lab:
    """A Lab on virtual time; at teardown nothing may be left over."""
    mark = request.node.get_closest_marker("fanmesh")
    config: Any = mark.args[0] if mark else Path(request.config.rootpath, request.config.getini("fanmesh_config"))
    if isinstance(config, str) and "\n" not in config:
        config = Path(request.config.rootpath, config)
    return _Later(config)  # type: ignore[return-value]  # replaced before the test sees it


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a coroutine test that has a Lab; leave every other test alone."""
    laters = {name: value for name, value in pyfuncitem.funcargs.items() if isinstance(value, _Later)}
    test: Callable[..., Any] = inspect.unwrap(pyfuncitem.obj)  # asyncio plugins in auto mode have put a wrapper around it
    if not laters or not inspect.iscoroutinefunction(test):
        return None
    from fanmesh.testing.lab import Lab  # noqa: PLC0415  (only tests with a Lab pay for the engine's import)
    from fanmesh.testing.loop import run_virtual  # noqa: PLC0415

    wanted = pyfuncitem._fixtureinfo.argnames  # noqa: SLF001  (pytest's own runner reads it there)
    arguments = {name: pyfuncitem.funcargs[name] for name in wanted}

    async def run() -> None:
        labs = {name: Lab(later.config) for name, later in laters.items()}
        await test(**{**arguments, **labs})
        for made in labs.values():
            await made.settle()
            made.assert_nothing_left()

    run_virtual(run())
    return True

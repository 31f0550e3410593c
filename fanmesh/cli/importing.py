"""`module:function` → a worker, with errors for people: what is missing, where it was looked for, what is there instead."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

from fanmesh.cli.ends import Exit, Stop
from fanmesh.workers import Fault, Worker
from fanmesh.workers.calling import read_input


def workers(references: Sequence[str]) -> list[Worker[Any]]:
    """The workers, imported with the current directory first. `name=module:function` serves one under another name."""
    if not references:
        raise Stop("which functions?", "name them: fanmesh worker hello:hello", Exit.USAGE)
    if (here := str(Path.cwd())) not in sys.path[:1]:
        sys.path.insert(0, here)
    return [_worker(reference) for reference in references]


def warm_up(found: Sequence[Worker[Any]]) -> list[str]:
    """Run `warm()` of each worker's module that has one, once. The modules that had one. Stop if one fails.

    Every worker's input is read once, too: the reader of a type is made on first use, which takes longer than most calls.
    """
    done: dict[str, None] = {}
    for worker in found:
        with suppress(Fault):
            read_input(worker, {})
        name = worker.function.__module__
        hook: Callable[[], object] | None = getattr(sys.modules.get(name), "warm", None)
        if name in done or not callable(hook):
            continue
        try:
            hook()
        except Exception as error:
            traceback.print_exc()
            raise Stop(f"{name}.warm() failed: {_short(error)}", "correct it, or start with --no-warm") from error
        done[name] = None
    return list(done)


def _worker(reference: str) -> Worker[Any]:
    name, equals, rest = reference.rpartition("=")
    module, colon, function = rest.partition(":")
    if not module or not colon or not function or (equals and not name):
        raise Stop(f"{reference!r} names no function", "write module:function, as in shop.geo:geo", Exit.USAGE)
    found = _attribute(_module(module), function)
    if not isinstance(found, Worker):
        kind = "is a plain function" if callable(found) else f"is of type {type(found).__name__}"
        raise Stop(f"{rest} {kind}, not a worker", "put `@worker` (from fanmesh.workers) above it")
    return replace(found, name=name) if name else found


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            hint = "start where the module is, or put its directory on PYTHONPATH"
            raise Stop(f"there is no module {name!r} in {Path.cwd()} or among the installed ones", hint) from error
        raise Stop(f"{name} needs {error.name!r}, which is not installed", f"pip install {error.name}") from error
    except Exception as error:
        sys.stderr.write("".join(traceback.format_exception(error.with_traceback(_beyond_import(error)))))
        raise Stop(f"{name} cannot be imported: {_short(error)}", "correct it (see above)") from error


def _beyond_import(error: BaseException) -> Any:
    """The traceback from the user's own file on: the import machinery explains nothing."""
    trace = error.__traceback__
    while trace is not None and ("importlib" in trace.tb_frame.f_code.co_filename or trace.tb_frame.f_globals is globals()):
        trace = trace.tb_next
    return trace


def _attribute(module: ModuleType, name: str) -> Any:
    try:
        return getattr(module, name)
    except AttributeError:
        there = [key for key, value in vars(module).items() if isinstance(value, Worker)]
        near = get_close_matches(name, there, n=1)
        hint = f"did you mean {module.__name__}:{near[0]}?" if near else f"its workers: {', '.join(there) or 'none'}"
        raise Stop(f"module {module.__name__} has no {name!r}", hint) from None


def _short(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__

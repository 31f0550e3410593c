"""Test a plan on virtual time: the Lab, what its workers play, and the loop it runs on.

Shipped with Fanmesh, as a pytest plugin: the fixture `lab` is there once Fanmesh is installed. The names are loaded when first
asked for, because pytest loads the plugin, and with it this package, in every project that has Fanmesh installed.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fanmesh.model.times import ms
    from fanmesh.testing.lab import FakeWorker, Lab, LabResult
    from fanmesh.testing.loop import BlockedError, VirtualClock, VirtualLoop, run_virtual
    from fanmesh.testing.scripts import Script, computes, ends, fails, hangs, rubbish, streams

_HOME = {
    "fanmesh.model.times": ("ms",),
    "fanmesh.testing.lab": ("FakeWorker", "Lab", "LabResult"),
    "fanmesh.testing.loop": ("BlockedError", "VirtualClock", "VirtualLoop", "run_virtual"),
    "fanmesh.testing.scripts": ("Script", "computes", "ends", "fails", "hangs", "rubbish", "streams"),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "BlockedError",
    "FakeWorker",
    "Lab",
    "LabResult",
    "Script",
    "VirtualClock",
    "VirtualLoop",
    "computes",
    "ends",
    "fails",
    "hangs",
    "ms",
    "rubbish",
    "run_virtual",
    "streams",
]


def __getattr__(name: str) -> Any:
    if (module := _MODULE_OF.get(name)) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

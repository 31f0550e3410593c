"""Fanmesh: one request in, many gRPC services called at once, one merged answer out, on time.

The names that programs use. All of them are loaded when first asked for: a worker has no use for the client, a client none for
the engine, and importing gRPC takes longer than most programs want to wait for a constant.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dispatcher.embedded import Branch, Fanmesh, Plan, Step, fanout
    from fanmesh.client import AsyncClient, Client
    from fanmesh.fitting import ResultMismatch
    from fanmesh.model.coverage import Coverage, Degraded
    from fanmesh.model.fault import Code, Fault
    from fanmesh.model.report import AttemptReport, BranchReport, Report
    from fanmesh.model.states import BranchReason, BranchState, CompletedBy, EmitMode
    from fanmesh.result import Accept, BranchEvent, Budget, DispatchFailed, Final, Result, Snapshot
    from fanmesh.workers import Context, Replace, Worker, run, serve, worker

_HOME = {
    "dispatcher.embedded": ("Branch", "Fanmesh", "Plan", "Step", "fanout"),
    "fanmesh.client": ("AsyncClient", "Client"),
    "fanmesh.fitting": ("ResultMismatch",),
    "fanmesh.model.coverage": ("Coverage", "Degraded"),
    "fanmesh.model.fault": ("Code", "Fault"),
    "fanmesh.model.report": ("AttemptReport", "BranchReport", "Report"),
    "fanmesh.model.states": ("BranchReason", "BranchState", "CompletedBy", "EmitMode"),
    "fanmesh.result": ("Accept", "BranchEvent", "Budget", "DispatchFailed", "Final", "Result", "Snapshot"),
    "fanmesh.workers": ("Context", "Replace", "Worker", "run", "serve", "worker"),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "Accept",
    "AsyncClient",
    "AttemptReport",
    "Branch",
    "BranchEvent",
    "BranchReason",
    "BranchReport",
    "BranchState",
    "Budget",
    "Client",
    "Code",
    "CompletedBy",
    "Context",
    "Coverage",
    "Degraded",
    "DispatchFailed",
    "EmitMode",
    "Fanmesh",
    "Fault",
    "Final",
    "Plan",
    "Replace",
    "Report",
    "Result",
    "ResultMismatch",
    "Snapshot",
    "Step",
    "Worker",
    "fanout",
    "run",
    "serve",
    "worker",
]


def __getattr__(name: str) -> Any:
    if (module := _MODULE_OF.get(name)) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

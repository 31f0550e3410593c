"""Test a plan on virtual time: the Lab, what its workers play, and the loop it runs on.

Shipped with Fanmesh, as a pytest plugin: the fixture `lab` is there once Fanmesh is installed.
"""

from fanmesh.model.times import ms
from fanmesh.testing.lab import FakeWorker, Lab, LabResult
from fanmesh.testing.loop import BlockedError, VirtualClock, VirtualLoop, run_virtual
from fanmesh.testing.scripts import Script, computes, ends, fails, hangs, rubbish, streams

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

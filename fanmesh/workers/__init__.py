"""The worker SDK: a function becomes a gRPC worker, or a local one in the same process.

    @worker("geo")
    async def geo(q: GeoIn, ctx: Context) -> GeoOut: ...

The module is called `workers` so that the name `worker` stays the decorator.
"""

from fanmesh.model.fault import Fault
from fanmesh.workers.context import Context
from fanmesh.workers.declaring import Replace, Worker, worker
from fanmesh.workers.serving import run, serve

__all__ = ["Context", "Fault", "Replace", "Worker", "run", "serve", "worker"]

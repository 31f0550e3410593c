"""`fanmesh …`: thin. Each verb is a file that asks the product's own parts and prints what they say.

Nothing is imported here, and a verb's file only when the verb is used: help and completion must not wait for gRPC.
"""

from __future__ import annotations

from fanmesh.cli.main import main, run

__all__ = ["main", "run"]

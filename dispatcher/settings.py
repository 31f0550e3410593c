"""What the process takes from its environment and command line, as opposed to its configuration file."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """Overrides of `server:` for this process; None = as configured.

    `ready_within`: seconds that start-up waits for workers before it serves without them. `ack_limit` False: a remote
    aggregator is given all the time it needs between acknowledgements (for conformance runs).
    """

    listen: str | None = None
    metrics: str | None = None
    ready_within: float = 2.0
    ack_limit: bool = True

"""Two of the scenario's workers, which stumble at a first attempt when the contact says so: one is silent, the other fails.

The demo's stragglers are drawn by chance, one call in thirty. What is read in a trace here must be there each time.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from fanmesh.workers import Context, Fault, worker
from sample_workers.enrichment.email import EmailIn, email
from sample_workers.enrichment.tax_id import TaxIdIn, tax_id

STUMBLE: Final = "stumble"
"""The key of a contact at which they do."""


@worker("silent_first")
async def silent_first(data: Any, ctx: Context) -> Any:
    """tax_id; its first attempt never answers."""
    if data.get(STUMBLE) and ctx.attempt == 0:
        await asyncio.get_running_loop().create_future()
    return tax_id(TaxIdIn(data["tax_id"], data["iban"], data["country"]), ctx)


@worker("failing_first")
async def failing_first(data: Any, ctx: Context) -> Any:
    """email; its first attempt is UNAVAILABLE."""
    if data.get(STUMBLE) and ctx.attempt == 0:
        raise Fault.unavailable("stumbled, as asked")
    return email(EmailIn(data["email"]), ctx)

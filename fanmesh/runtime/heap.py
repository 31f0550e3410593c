"""The garbage collector, set for a server.

What is loaded at start lives for ever, and what a request makes dies by reference counting, or in one small cycle per branch.
The defaults look at every object of the process after 70,000 allocations, which a busy dispatcher makes ten times a second.
"""

from __future__ import annotations

import gc
from typing import Final

YOUNG: Final = 20_000
"""Allocations between two looks at the youngest objects; the default of 700 is less than one request's."""


def settle() -> None:
    """Call once, when everything is loaded."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 20, 50)

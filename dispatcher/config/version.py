"""A name for what a configuration means: the same for every way of writing it, another as soon as any of it changes.

Workers go in as built, not as written: what a policy says means nothing until it is laid over what it extends.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from enum import Enum
from hashlib import sha256
from typing import Any

from dispatcher.config.policies import Policies
from dispatcher.config.shape import FileShape
from dispatcher.model.plan import Worker


def version(shape: FileShape, workers: Mapping[str, Worker], policies: Policies) -> str:
    """Twelve hexadecimal digits. `workers`: those that the file declares."""
    rest = shape.model_dump_json(by_alias=True, exclude={"policies", "default_policy", "workers"})
    built = {name: asdict(worker) for name, worker in workers.items()}
    text = json.dumps([rest, built, asdict(policies.of_local())], default=_plain)
    return sha256(text.encode()).hexdigest()[:12]


def _plain(value: Any) -> Any:
    """What JSON has no word for: enums by value, bytes by what they are, sets in order."""
    if isinstance(value, bytes):
        return sha256(value).hexdigest()
    return value.value if isinstance(value, Enum) else sorted(value)

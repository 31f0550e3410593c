"""What a name is: of workers, plans, branches and attributes, wherever one is given."""

from __future__ import annotations

import re
from typing import Final

NAME_PATTERN: Final = r"^[a-z][a-z0-9_]*$"
A_NAME: Final = "a lower-case letter, then lower-case letters, digits and _"

_NAME: Final = re.compile(NAME_PATTERN.strip("^$"))


def is_name(text: str) -> bool:
    """Whether a configuration can hold it."""
    return _NAME.fullmatch(text) is not None

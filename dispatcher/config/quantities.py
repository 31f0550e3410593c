"""Durations and sizes as people write them, `1.5s` and `8MiB`, to integers.

Exact: the digits go through Decimal, because 0.3 s through a float is 299,999,999 ns. A bare number is refused: it is the
configuration's oldest trap that one reader takes 300 for seconds and the other for milliseconds.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from dispatcher.config.problems import Wrong, shown
from fanmesh.model.times import MS, SECOND, US

DURATION_PATTERN: Final = r"^(0|[0-9]{1,9}(\.[0-9]{1,9})?(us|ms|s|m|h))$"
SIZE_PATTERN: Final = r"^[0-9]{1,9}(\.[0-9]{1,9})?(B|KiB|MiB|GiB)$"

LONGEST: Final = 24 * 3600 * SECOND
"""The longest duration in ns: a request is work for seconds, so a longer one is a slip of the unit."""

LARGEST: Final = 2**30
"""The largest size in bytes, well below what protobuf can carry in one message (2 GiB)."""

LARGEST_MEMORY: Final = 2**40
"""The largest memory of a process in bytes: more is a slip of the unit."""

_NANOSECONDS: Final = {"us": US, "ms": MS, "s": SECOND, "m": 60 * SECOND, "h": 3600 * SECOND}
_BYTES: Final = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_A_DURATION: Final = "a duration such as 300ms, 1.5s or 2m"
_A_SIZE: Final = "a size such as 512KiB or 1MiB"


def parse_duration(value: object) -> int:
    """`300ms`, `1.5s`, `2m`, or a bare 0 → ns, from 0 to LONGEST. Raises Wrong."""
    if value == 0 and isinstance(value, int) and not isinstance(value, bool):
        return 0
    return _parse(value, DURATION_PATTERN, _NANOSECONDS, LONGEST, _A_DURATION, "24h")


def parse_positive_duration(value: object) -> int:
    """Like parse_duration, without 0. Raises Wrong."""
    if (ns := parse_duration(value)) > 0:
        return ns
    raise Wrong(f"{shown(value)} leaves no time at all", "a duration above 0, or no such key")


def parse_size(value: object) -> int:
    """`512KiB`, `1MiB` → bytes, from 1 to LARGEST. Raises Wrong."""
    if (size := _parse(value, SIZE_PATTERN, _BYTES, LARGEST, _A_SIZE, "1GiB")) > 0:
        return size
    raise Wrong(f"{shown(value)} leaves room for nothing", "a size above 0")


def parse_memory(value: object) -> int:
    """Like parse_size, for a whole process: at most LARGEST_MEMORY. Raises Wrong."""
    if (size := _parse(value, SIZE_PATTERN, _BYTES, LARGEST_MEMORY, "a size such as 512MiB or 2GiB", "1024GiB")) > 0:
        return size
    raise Wrong(f"{shown(value)} leaves room for nothing", "a size above 0")


def _parse(value: object, pattern: str, units: dict[str, int], most: int, expected: str, limit: str) -> int:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise Wrong(f"{value} has no unit", expected)
    if not isinstance(value, str) or not re.fullmatch(pattern, value):
        raise Wrong(f"{shown(value)} is not {expected.split(' such', maxsplit=1)[0]}", expected)
    unit = next((unit for unit in sorted(units, key=len, reverse=True) if value.endswith(unit)), "")
    if not unit:
        return 0
    exact = Decimal(value.removesuffix(unit)) * units[unit]
    if exact != int(exact):
        raise Wrong(f"{value} is finer than the smallest unit counted", expected)
    if exact > most:
        raise Wrong(f"{value} is too much", f"at most {limit}")
    return int(exact)


def show_size(size: int) -> str:
    """The shortest exact way to write it: 8388608 → `8MiB`."""
    unit, of = next(((unit, of) for unit, of in reversed(_BYTES.items()) if size >= of and size % of == 0), ("B", 1))
    return f"{size // of}{unit}"


def show_duration(ns: int) -> str:
    """The shortest exact way to write it: 1500000000 → `1.5s`, 300000000 → `300ms`."""
    unit, size = next(((unit, size) for unit, size in (("s", SECOND), ("ms", MS)) if ns >= size), ("us", US))
    return f"{Decimal(ns) / size:f}{unit}" if ns else "0"


PERCENT_PATTERN: Final = r"^[0-9]+(\.[0-9]+)?%$"
_PERCENT: Final = re.compile(PERCENT_PATTERN, re.ASCII)


def parse_tolerance(value: object) -> int | float:
    """A count, or `10%` as the share 0.1, which is a float. Raises Wrong."""
    expected = "a whole number, or a percentage such as 10%"
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if not isinstance(value, str) or not _PERCENT.fullmatch(value):
        raise Wrong(f"{shown(value)} is not a number of failures", expected)
    share = float(value.removesuffix("%")) / 100
    if share > 1:
        raise Wrong(f"{value} is more than all", expected)
    return share

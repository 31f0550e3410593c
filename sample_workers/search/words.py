"""What counts as a word, for the two engines that leave it to us; the third has an analyser of its own.

Only letters and digits come out of it, so nothing that somebody types can be read as an operator of a query language.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final
from unicodedata import combining, normalize

_WORD: Final = re.compile(r"[^\W_]+")
_FREQUENT: Final = "a an and are as at be by for from in is it its of on or that the to with than this which"
STOP: Final = frozenset(_FREQUENT.split())
"""Too frequent in definitions to tell one from another."""


def words(text: str) -> list[str]:
    """The words in their order, in lower case and without accents."""
    if not text.isascii():
        text = "".join(letter for letter in normalize("NFKD", text) if not combining(letter))
    return _WORD.findall(text.casefold())


def telling(text: str) -> list[str]:
    """Its words without STOP; all of them if there are no others."""
    every = words(text)
    return [word for word in every if word not in STOP] or every


def grams(text: str) -> list[str]:
    """Overlapping pieces of four letters of each telling word, `_` at its ends: `_thi`, `thig` and `high` of `thighbone`."""
    return [piece for word in telling(text) for piece in _pieces(word)]


@lru_cache(maxsize=65536)  # a corpus has far fewer words than places for them
def _pieces(word: str) -> tuple[str, ...]:
    edged = f"_{word}_"
    return tuple(edged[at : at + 4] for at in range(max(1, len(edged) - 3)))

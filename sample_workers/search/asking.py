"""What every engine is asked and answers: the same, so that a merge can tell that two of them mean the same document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypedDict

from fanmesh.workers import Fault

LONGEST: Final = 1000
"""Characters of a question. Nobody types more, and a pasted page would cost every engine a scan of its whole index."""
MOST: Final = 100


@dataclass(frozen=True, slots=True)
class Question:
    """`q` in anybody's words, without operators; `k` is how many hits are wanted, 1 to 100."""

    q: str = ""
    k: int = 50


class Hit(TypedDict):
    """One document. A higher `score` is better; scores of different engines mean different things."""

    id: str
    score: float
    title: str
    snippet: str


class Hits(TypedDict):
    """Best first."""

    hits: list[Hit]


def asked(question: Question) -> str:
    """The text that is searched for. Raises INVALID_ARGUMENT, naming the field, for what is no question."""
    text = question.q.strip()
    if not text:
        raise Fault.invalid_argument("q: missing")
    if len(text) > LONGEST:
        raise Fault.invalid_argument(f"q: {len(text)} characters; at most {LONGEST}")
    if not 1 <= question.k <= MOST:
        raise Fault.invalid_argument(f"k: {question.k}; from 1 to {MOST}")
    return text

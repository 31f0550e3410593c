"""SQLite FTS5: words cut back to their stems by Porter's rules, and beginnings of words; a hit in the title counts three times.

The beginning of each word is looked for as well, because a clinician writes `ulceration` where others say `ulcers`, and Porter
leaves those apart. Words go into the query in double quotes, so that none of them is an operator.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from fanmesh.workers import worker
from sample_workers.enrichment.once import once
from sample_workers.search import cache, corpus
from sample_workers.search.asking import Hit, Hits, Question, asked
from sample_workers.search.words import telling

_TABLE: Final = "CREATE VIRTUAL TABLE documents USING fts5(id UNINDEXED, title, text, tokenize='porter unicode61')"
_QUERY: Final = (
    "SELECT id, -bm25(documents, 0.0, 3.0, 1.0) AS score, title, text FROM documents WHERE documents MATCH ? "
    "ORDER BY score DESC, rowid LIMIT ?"
)
_SHORTEST: Final = 4
"""Letters of a beginning; shorter ones begin everything."""


def build(place: Path) -> None:
    """The table of all documents."""
    database = sqlite3.connect(place / "index.db")
    try:
        with database:
            database.execute(_TABLE)
            rows = ((document.id, document.title, document.text) for document in corpus.read())
            database.executemany("INSERT INTO documents VALUES (?, ?, ?)", rows)
    finally:
        database.close()


@once
def index() -> sqlite3.Connection:
    """The table, opened to read. One connection for all threads: SQLite takes its calls one at a time, and each is short."""
    place = cache.index("fts5", f"sqlite {sqlite3.sqlite_version}", build, __file__)
    return sqlite3.connect(f"{(place / 'index.db').as_uri()}?mode=ro&immutable=1", uri=True, check_same_thread=False)


def search(text: str, k: int) -> list[Hit]:
    """The k best documents that have one of the words."""
    found = index().execute(_QUERY, (expression(text), k))
    return [
        Hit(id=key, score=score, title=title, snippet=corpus.Document(key, title, body).snippet)
        for key, score, title, body in found
    ]


def expression(text: str) -> str:
    """The words in FTS5's language; `""`, which nothing matches, if there are none."""
    parts = []
    for word in dict.fromkeys(telling(text)):
        beginning = word[: max(_SHORTEST, len(word) * 3 // 4)]
        parts.append(f'"{word}" OR "{beginning}"*')
    return " OR ".join(parts) or '""'


@worker("fts5")
def fts5(q: Question) -> Hits:
    """Documents by stems and beginnings of words."""
    return Hits(hits=search(asked(q), q.k))


warm = index

"""bm25s: BM25 over pieces of four letters, so that `fingertip` finds `tip of the finger` and a misspelt word its neighbours.

Scores are worked out when the index is built, one for each document and piece, with frequencies and lengths of the whole
corpus. That is what makes its shards comparable: see `shards`.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Final

import bm25s as library
import numpy as np

from fanmesh.workers import worker
from sample_workers.enrichment.once import once
from sample_workers.search import cache, corpus
from sample_workers.search.asking import Hit, Hits, Question, asked
from sample_workers.search.words import grams

LIBRARY: Final = f"bm25s {version('bm25s')}"


def search(within: library.BM25, text: str, k: int) -> list[Hit]:
    """The k best of the documents in there that have one of the pieces; equals in the order of the corpus."""
    pieces = within.get_tokens_ids(grams(text))
    if not pieces:
        return []
    scores = within.get_scores_from_ids(pieces)
    best = np.argsort(-scores, kind="stable")[:k]
    return [_hit(within.corpus[at], float(scores[at])) for at in best if scores[at] > 0]


def _hit(shown: dict[str, str], score: float) -> Hit:
    return Hit(id=shown["id"], score=score, title=shown["title"], snippet=shown["snippet"])


def build(place: Path) -> None:
    """The scores of all documents, which takes a second or two, and what is shown of each."""
    documents = corpus.read()
    made = library.BM25(method="lucene", k1=1.5, b=0.75)
    made.index([grams(f"{document.title}. {document.text}") for document in documents], show_progress=False)
    shown = [{"id": document.id, "title": document.title, "snippet": document.snippet} for document in documents]
    made.save(place, corpus=shown, show_progress=False)


def load(place: Path) -> library.BM25:
    """An index that was saved there."""
    return library.BM25.load(place, load_corpus=True, show_progress=False)


@once
def index() -> library.BM25:
    """The index of all documents."""
    return load(cache.index("bm25s", LIBRARY, build, __file__))


@worker("bm25s")
def bm25s(q: Question) -> Hits:
    """Documents by pieces of words."""
    return Hits(hits=search(index(), asked(q), q.k))


warm = index

"""The corpus in three parts, each with a worker of its own that knows nothing of the others.

A score of BM25 depends on how frequent a word is and how long documents are. Counted in each part alone, a document would score
differently in another part, and merging by score would compare what cannot be compared. Here all are scored with the
counts of the whole corpus, and the scores are then cut into parts: what the shards say together is what the undivided index
says, to the last bit. (The way of search engines that ask all shards for their counts first; ours are known beforehand.)

Document n is in shard n mod 3. All shards are of one size, so equal weights say exactly which share of the corpus has answered.
"""

from __future__ import annotations

from copy import copy
from pathlib import Path
from typing import Final

import bm25s as library
import numpy as np

from sample_workers.search import bm25s, cache

SHARDS: Final = 3


def build(place: Path) -> None:
    """The scores of every shard, below its number."""
    whole = bm25s.index()
    for number in range(SHARDS):
        _cut(whole, number).save(place / str(number), show_progress=False)


def _cut(whole: library.BM25, number: int) -> library.BM25:
    """Of a matrix of documents by pieces, held piece by piece, the documents of one shard; their scores stay as they are."""
    documents, starts = whole.scores["indices"], whole.scores["indptr"]
    kept = documents % SHARDS == number
    before = np.concatenate(([0], np.cumsum(kept)))
    part = copy(whole)
    part.corpus = whole.corpus[number::SHARDS]
    part.scores = {
        "data": whole.scores["data"][kept],
        "indices": documents[kept] // SHARDS,
        "indptr": before[starts].astype(starts.dtype),
        "num_docs": len(range(number, whole.scores["num_docs"], SHARDS)),
    }
    return part


def load(number: int) -> library.BM25:
    """The index of one shard, which is numbered from 0."""
    return bm25s.load(cache.index("shards", bm25s.LIBRARY, build, bm25s.__file__, __file__) / str(number))

"""Three engines and three shards over the real corpus, called as the functions that they are."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from fanmesh.model.fault import Code
from fanmesh.workers import Fault
from sample_workers.search import bm25s, cache, corpus, fts5, shard_1, shard_2, shard_3, shards, tantivy
from sample_workers.search.asking import Hit, Question

ENGINES = {"fts5": fts5.fts5, "bm25s": bm25s.bm25s, "tantivy": tantivy.tantivy}
SHARDS = {"shard_1": shard_1.shard_1, "shard_2": shard_2.shard_2, "shard_3": shard_3.shard_3}
EVERY = {**ENGINES, **SHARDS}
ODD = {
    "nothing that is a word": "?! * ( ) \" ' ^ - : { }",
    "an unbalanced quote": '"broken bone',
    "operators": "bone AND (NOT nose) OR NEAR(a b, 2)",
    "columns": "title : bone {title text} : nose ^bone bone* -bone +bone",
    "another language's syntax": "title:bone^2 /re.*/ [a TO b] \\ bone~1",
    "SQL": "x'); DROP TABLE documents; --",
    "unicode": "ﬁngertip 骨折 перелом عظم 🦴 e\u0301te\u0301 \u202e",
    "a NUL": "bone\x00nose",
    "one word, very long": "x" * 1000,
    "very many words": " ".join(map(chr, range(0x4E00, 0x4E00 + 500))),
    "stop words": "the of and",
}


def ask(worker: Any, **data: Any) -> list[Hit]:
    """The hits of a worker's answer."""
    hits: list[Hit] = worker(Question(**data))["hits"]
    return hits


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_finds_a_document_by_its_own_words(name: str) -> None:
    """First, with title and snippet; best first, and no more than asked for."""
    document = next(one for one in corpus.read() if one.title == "Bowing of the legs")
    hits = ask(ENGINES[name], q=f"{document.title}. {document.text}", k=5)
    assert {key: hits[0][key] for key in ("id", "title", "snippet")} == {
        "id": document.id,
        "title": document.title,
        "snippet": document.snippet,
    }
    assert len(hits) == 5
    scores = [hit["score"] for hit in hits]
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] > 0


def test_the_engines_differ_in_what_they_take_for_the_same_word() -> None:
    """A misspelt word is found by its pieces only, the longer form of a word not by its stem alone."""
    misspelt = {name: ask(worker, q="hydrocephallus") for name, worker in ENGINES.items()}
    assert {name for name, hits in misspelt.items() if hits and "hydroceph" in hits[0]["title"].lower()} == {"bm25s", "fts5"}
    transposed = {name: ask(worker, q="hydrocehpalus") for name, worker in ENGINES.items()}
    assert {name for name, hits in transposed.items() if any("ydroceph" in hit["title"] for hit in hits)} == {"bm25s"}


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("question", ODD.values(), ids=ODD)
def test_no_question_is_an_error_for_its_characters(name: str, question: str) -> None:
    """Whatever is typed is words to be found, or nothing is found; an operator is not obeyed."""
    hits = ask(EVERY[name], q=question)
    assert len(hits) <= 50
    assert all(hit["id"].startswith("HP:") for hit in hits)


@pytest.mark.parametrize("name", ENGINES)
def test_operators_do_not_change_what_is_found(name: str) -> None:
    """`NOT nose` does not exclude noses."""
    plain = ask(ENGINES[name], q="bone nose")
    assert ask(ENGINES[name], q='"bone" -nose') == plain


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"q": ""}, "q: missing"),
        ({"q": " \n"}, "q: missing"),
        ({"q": "x" * 1001}, "q: 1001 characters; at most 1000"),
        ({"q": "bone", "k": 0}, "k: 0; from 1 to 100"),
        ({"q": "bone", "k": 101}, "k: 101; from 1 to 100"),
    ],
)
def test_what_is_no_question_is_refused_by_field(name: str, data: dict[str, Any], message: str) -> None:
    """INVALID_ARGUMENT, which is not retried, and which every engine says in the same words."""
    with pytest.raises(Fault) as refused:
        ask(EVERY[name], **data)
    assert refused.value.code is Code.INVALID_ARGUMENT
    assert refused.value.detail == message


@pytest.mark.parametrize("question", ["Broad fingertips", "bone", "Missing premaxilla", "hydrocehpalus"])
def test_shards_say_together_what_the_whole_index_says(question: str) -> None:
    """Bit for bit: they are scored with the counts of the whole corpus."""

    def ranked(hits: list[Hit]) -> list[Hit]:
        return sorted(hits, key=lambda hit: (-hit["score"], hit["id"]))

    together = ranked([hit for worker in SHARDS.values() for hit in ask(worker, q=question, k=100)])
    whole = ask(bm25s.bm25s, q=question, k=100)
    assert whole
    assert together[: len(whole)] == ranked(whole)


def test_shards_are_disjoint_and_of_one_size() -> None:
    """So equal weights are shares of the corpus."""
    parts = [shards.load(number).corpus for number in range(shards.SHARDS)]
    assert [len(part) for part in parts] == [16_449 // 3] * 3
    assert {one["id"] for part in parts for one in part} == {one.id for one in corpus.read()}


def test_an_index_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there is taken, another version of the library is another index; what fails or is killed leaves nothing."""
    monkeypatch.setenv(cache.HOME, str(tmp_path / "cache"))
    built: list[Path] = []

    def build(place: Path) -> None:
        built.append(place)
        (place / "made").touch()

    def fail(place: Path) -> None:
        (place / "half").touch()
        raise sqlite3.OperationalError("disk full")

    with pytest.raises(sqlite3.OperationalError):
        cache.index("words", "library 1", fail, __file__)
    killed = cache.home() / ".words-killed"
    killed.mkdir()
    first = cache.index("words", "library 1", build, __file__)
    assert cache.index("words", "library 1", build, __file__) == first
    assert len(built) == 1
    assert cache.index("words", "library 2", build, __file__) != first
    assert len(built) == 2
    assert sorted(one.name for one in cache.home().iterdir() if one.is_dir()) == sorted(
        one.name for one in (first, cache.index("words", "library 2", build, __file__))
    )

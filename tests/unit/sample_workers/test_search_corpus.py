"""The search scenario's documents, words and questions."""

from __future__ import annotations

import pytest

from sample_workers.search import corpus, questions
from sample_workers.search.corpus import Document
from sample_workers.search.words import grams, telling, words

OBO = r"""format-version: 1.2
data-version: hp/releases/2001-02-03

[Term]
id: HP:1
name: Short femur
def: "A thigh bone that is \"too short\"\, and not \nlong." [PMID:1]
synonym: "Short thighbone" EXACT layperson []
synonym: "Short thigh" BROAD layperson []
synonym: "Femoral hypoplasia" EXACT [PMID:2]

[Term]
id: HP:2
name: Without a definition

[Term]
id: HP:3
name: Gone
def: "No longer used." []
is_obsolete: true

[Term]
id: HP:4
name: Last
def: "The last one." []

[Typedef]
id: part_of
name: part of
def: "No finding." []
"""


def test_documents_are_terms_with_a_definition_that_are_in_use() -> None:
    """Titles and texts without escapes; exact lay terms apart from all other names; other stanzas are none."""
    first, last = corpus.parse(OBO)
    assert first == Document(
        "HP:1", "Short femur", 'A thigh bone that is "too short", and not  long.', ("Short thighbone",), ("Femoral hypoplasia",)
    )
    assert last == Document("HP:4", "Last", "The last one.")


def test_the_real_corpus_has_thousands_of_documents() -> None:
    """The package has them, each with an id of its own, a title and a text, in the order of their ids."""
    documents = corpus.read()
    assert len(documents) == 16_449
    assert [one.id for one in documents] == sorted({one.id for one in documents})
    assert all(one.title and one.text for one in documents)
    assert corpus.release(corpus.source()) == "hp/releases/2025-01-16"


@pytest.mark.parametrize(
    ("text", "snippet"),
    [("short", "short"), ("word " * 40, f"{('word ' * 28).strip()} …"), ("x" * 200, f"{'x' * 140} …")],
    ids=["whole", "at a space", "no space"],
)
def test_a_snippet_ends_after_a_whole_word(text: str, snippet: str) -> None:
    """Unless the text has none that is short enough."""
    assert Document("i", "t", text).snippet == snippet


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Broad fingertips", ["broad", "fingertips"]),
        ("été ﬁn ① Straße", ["ete", "fin", "1", "strasse"]),
        ('title:"a" NEAR(b) AND -c* ^ {d} snake_case', ["title", "a", "near", "b", "and", "c", "d", "snake", "case"]),
        ("骨折", ["骨折"]),
        ("?! \x00 \u200b", []),
    ],
)
def test_words_are_letters_and_digits_and_nothing_else(text: str, found: list[str]) -> None:
    """No operator of any query language comes through; accents and widths do not tell words apart."""
    assert words(text) == found


def test_stop_words_are_left_out_unless_there_is_nothing_else() -> None:
    """A question of stop words is still a question."""
    assert telling("the tip of the nose") == ["tip", "nose"]
    assert telling("to be or that") == ["to", "be", "or", "that"]


def test_grams_overlap_and_know_the_ends_of_words() -> None:
    """A word of one letter has one piece."""
    assert grams("the thigh X") == ["_thi", "thig", "high", "igh_", "_x_"]


def test_questions_are_other_words_for_one_document() -> None:
    """Not the title's or a clinical name's words in another order, not one word, not a term that two documents share."""
    lay = ("Femur, short", "hypoplasia femoral", "Thigh", "Small thighbone")
    documents = [
        Document("1", "Short femur", "", lay=lay, clinical=("Femoral hypoplasia",)),
        Document("2", "Femur", "", lay=("Bone of thigh",)),
        Document("3", "Long femur", "", lay=("Thigh of bone",)),
    ]
    assert questions.known_items(documents) == (questions.KnownItem("Small thighbone", "1"),)


def test_halves_share_no_document_and_leave_none_out() -> None:
    """Of the real corpus, each has more than a thousand questions."""
    documents = corpus.read()
    chosen, judged = questions.halves(documents)
    assert not {one.id for one in chosen} & {one.id for one in judged}
    assert sorted([*chosen, *judged]) == sorted(questions.known_items(documents))
    assert min(len(chosen), len(judged)) > 1000

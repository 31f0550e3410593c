"""The books: found again by name and address, and forgotten when the address is gone."""

from dispatcher.policies.books import Books
from dispatcher.policies.breaker import State


def test_a_book_is_found_again() -> None:
    """One book a worker, one an address: whoever asks next finds what was written."""
    books = Books()
    worker = books.of("geo")
    worker.endpoint("a:1").breaker.state = State.OPEN
    assert books.of("geo") is worker
    assert books.of("geo").endpoint("a:1").breaker.state is State.OPEN
    assert worker.endpoint("b:1").breaker.state is State.CLOSED
    assert books.of("phone").endpoints == {}


def test_names_are_kept() -> None:
    """A book knows whose it is."""
    books = Books()
    assert (books.of("geo").name, books.of("geo").endpoint("a:1").address) == ("geo", "a:1")


def test_dropping_an_address() -> None:
    """An address that is gone is forgotten: under the same name a new one is a stranger. The others stay."""
    books = Books()
    old, other = books.of("geo").endpoint("a:1"), books.of("geo").endpoint("b:1")
    books.drop("geo", "a:1")
    books.drop("geo", "a:1")
    books.drop("nobody", "a:1")
    assert books.of("geo").endpoint("a:1") is not old
    assert books.of("geo").endpoint("b:1") is other
    assert "nobody" not in books.workers


def test_counting() -> None:
    """Decisions are counted by what and why."""
    book = Books().of("geo")
    for what, why in (("retry", "INTERNAL"), ("hedge", "slow"), ("retry", "INTERNAL")):
        book.count(what, why)
    assert book.counts == {("retry", "INTERNAL"): 2, ("hedge", "slow"): 1}

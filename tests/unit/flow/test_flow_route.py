"""Which plan a request runs."""

from __future__ import annotations

from typing import Any

import pytest

from dispatcher.flow.route import Routed, route
from dispatcher.model.plan import Catalogue, Plan, Route
from dispatcher.model.reading import Condition, Unreadable
from dispatcher.model.request import Refusal, Request
from fanmesh.model.fault import Code
from tests.kit.plans import Seen
from tests.kit.story import NoInput

ENRICH, ANSWER = Plan("enrich", ()), Plan("answer", ())


def told(value: Any) -> Condition:
    """A condition that gives this."""
    return lambda _: value


def choose(name: str, *routes: Route, seen: Seen | None = None) -> Routed | Refusal:
    """What is chosen from two plans."""
    catalogue = Catalogue({"enrich": ENRICH, "answer": ANSWER}, {}, routes)
    return route(catalogue, Request("r", name, NoInput(), 0), seen or Seen())


def test_the_caller_names_it() -> None:
    """A plan that is named runs, whatever the routes say; no route is reported."""
    assert choose("answer", Route("enrich", None, "default")) == Routed(ANSWER, "")


def test_the_first_match_wins() -> None:
    """The first route whose condition holds chooses."""
    routes = (Route("enrich", told(False), "no"), Route("answer", told(True), "yes"), Route("enrich", None, "default"))
    assert choose("", *routes) == Routed(ANSWER, "yes")


def test_an_unreadable_condition_does_not_match() -> None:
    """A condition that cannot be evaluated does not match, and is counted."""
    seen = Seen()
    routes = (Route("enrich", told(Unreadable("no such key")), "bad"), Route("answer", None, "default"))
    assert choose("", *routes, seen=seen) == Routed(ANSWER, "default")
    assert seen.errors == ["route"]


@pytest.mark.parametrize(
    ("name", "routes", "reason", "hint"),
    [
        ("enrihc", (), "PLAN_UNKNOWN", "did you mean 'enrich'?"),
        ("zzz", (), "PLAN_UNKNOWN", "plans: answer, enrich"),
        ("", (), "NO_ROUTE", "there are no routes"),
        ("", (Route("enrich", told(False), "no"),), "NO_ROUTE", "no route matched"),
    ],
)
def test_no_plan(name: str, routes: tuple[Route, ...], reason: str, hint: str) -> None:
    """No plan: NOT_FOUND with a reason, and a hint at what there is."""
    refusal = choose(name, *routes)
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.reason) == (Code.NOT_FOUND, reason)
    assert hint in refusal.message

from dispatcher.flow.ports import RequestObserver
from dispatcher.layers.types import Attempt, BranchRun
from dispatcher.model.request import Refusal, Request
from dispatcher.wire.observers import Nobody, combine
from fanmesh.model.report import Report
from tests.kit.story import attempt_of, request_of, run_of


class Diary(RequestObserver):
    """Writes down what it is told."""

    def __init__(self, name: str, told: list[tuple[str, str]]) -> None:
        self.name, self.told = name, told

    def note(self, what: str) -> None:
        """Write it down."""
        self.told.append((what, self.name))

    def branch_started(self, run: BranchRun) -> None:
        """Write it down."""
        self.note(f"branch_started {run.node.id}")

    def attempt_started(self, attempt: Attempt) -> None:
        """Write it down."""
        self.note(f"attempt_started {attempt.number}")

    def attempt_ended(self, attempt: Attempt) -> None:
        """Write it down."""
        self.note(f"attempt_ended {attempt.number}")

    def branch_ended(self, run: BranchRun) -> None:
        """Write it down."""
        self.note(f"branch_ended {run.node.id}")

    def request_started(self, request: Request) -> None:
        """Write it down."""
        self.note(f"request_started {request.id}")

    def request_ended(self, request: Request, report: Report | None, refusal: Refusal | None, now: int) -> None:
        """Write it down."""
        self.note(f"request_ended {request.id} {report} {refusal} {now}")

    def late(self, run: BranchRun) -> None:
        """Write it down."""
        self.note(f"late {run.node.id}")

    def expression_error(self, where: str) -> None:
        """Write it down."""
        self.note(f"expression_error {where}")


def tell_everything(observer: RequestObserver) -> None:
    run = run_of(request_of())
    observer.request_started(run.request)
    observer.branch_started(run)
    attempt = attempt_of(run)
    observer.attempt_started(attempt)
    observer.attempt_ended(attempt)
    observer.branch_ended(run)
    observer.late(run)
    observer.expression_error("if")
    observer.request_ended(run.request, None, None, 9)


def test_everybody_hears_everything_in_order() -> None:
    """Each event goes to all, first to last, with what it carries."""
    told: list[tuple[str, str]] = []
    tell_everything(combine(Diary("a", told), Diary("b", told)))
    heard = [
        "request_started r1",
        "branch_started geo",
        "attempt_started 0",
        "attempt_ended 0",
        "branch_ended geo",
        "late geo",
        "expression_error if",
        "request_ended r1 None None 9",
    ]
    assert told == [(what, name) for what in heard for name in "ab"]


def test_one_is_itself_and_none_looks_away() -> None:
    """What is not there costs nothing."""
    one = Diary("a", [])
    assert combine(one) is one
    nobody = combine()
    assert isinstance(nobody, Nobody)
    tell_everything(nobody)

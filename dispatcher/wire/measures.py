"""The observer that counts.

Branches are counted from the report and not while they run: the report holds every branch, those that were never sent among
them, with its final state, so metrics and reports cannot disagree. Label values come from the configuration and from closed
sets, never from a caller: a plan's name counts only once the plan was found.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from dispatcher.layers.types import Attempt, BranchRun
from dispatcher.model.request import Refusal, Request
from dispatcher.wire.observers import Nobody
from dispatcher.wire.span_attributes import KINDS, code_of
from fanmesh.model.report import Report
from fanmesh.model.states import AggregatorMode, BranchReason, BranchState, CompletedBy
from fanmesh.model.times import SECOND
from fanmesh.runtime.histograms import Counter, Gauge, Histogram
from fanmesh.runtime.metrics import DURATIONS, PPM, RATIOS, Family

STATES: Final = {state: state.name for state in BranchState}
REASONS: Final = {reason: reason.name for reason in BranchReason}
RULES: Final = {rule: rule.name for rule in CompletedBy}
MET: Final = {True: "true", False: "false"}


class Measures(Nobody):
    """The books of a dispatcher. `lag` gives the loop's lag in ns, `version` that of the configuration in force."""

    def __init__(self, lag: Callable[[], int], version: Callable[[], str]) -> None:
        self.in_flight = 0
        self._requests = Histogram(
            "fanmesh_dispatch_duration_seconds",
            "Time from a request's arrival to its reply.",
            ("plan", "code", "completed_by"),
            DURATIONS,
            SECOND,
        )
        self._coverage = Histogram(
            "fanmesh_dispatch_coverage_ratio", "Share of a plan's weight that answered.", ("plan",), RATIOS, PPM
        )
        self._degraded = Counter(
            "fanmesh_dispatch_degraded_total", "Results that are less than whole, by cause.", ("plan", "cause")
        )
        self._branches = Histogram(
            "fanmesh_branch_duration_seconds",
            "Time from a branch's first send to its end; 0 if nothing was sent.",
            ("plan", "branch", "state", "reason"),
            DURATIONS,
            SECOND,
        )
        self._sla = Counter(
            "fanmesh_branch_sla_total", "Branches with an SLA, by whether it was met.", ("plan", "branch", "met")
        )
        self._late = Counter("fanmesh_late_results_total", "Answers that came after their request was complete.")
        self._attempts = Counter("fanmesh_attempts_total", "Calls of workers, by how they ended.", ("worker", "kind", "code"))
        self._fallbacks = Counter("fanmesh_aggregator_fallback_total", "Requests taken over from the remote aggregator.")
        self._expressions = Counter(
            "fanmesh_expression_errors_total", "Expressions that failed on a request's data.", ("where",)
        )
        self._gauges = (
            Gauge("fanmesh_dispatch_in_flight", "Requests that run now.", lambda: {(): self.in_flight}),
            Gauge("fanmesh_loop_lag_seconds", "Worst recent delay of the event loop.", lambda: {(): lag() / SECOND}),
            Gauge("fanmesh_config_info", "The configuration in force.", lambda: {(version(),): 1}, ("version",)),
        )

    @property
    def families(self) -> tuple[Family, ...]:
        """Everything that is counted here."""
        histograms = (self._requests, self._coverage, self._branches)
        return (
            *histograms,
            self._degraded,
            self._sla,
            self._late,
            self._attempts,
            self._fallbacks,
            self._expressions,
            *self._gauges,
        )

    def attempt_ended(self, attempt: Attempt) -> None:
        """Count the call."""
        self._attempts.add((attempt.worker.name, KINDS[attempt.kind], code_of(attempt.outcome)))

    def request_started(self, request: Request) -> None:  # noqa: ARG002  (the protocol's)
        """One more in flight."""
        self.in_flight += 1

    def request_ended(self, request: Request, report: Report | None, refusal: Refusal | None, now: int) -> None:
        """Count the request and all its branches."""
        self.in_flight -= 1
        code = refusal.code.name if refusal is not None else "OK"
        trace_id = request.trace.trace_id if request.trace.sampled else ""
        if report is None:
            self._requests.add(("", code, ""), now - request.arrived, trace_id)
            return
        plan = report.plan
        self._requests.add((plan, code, RULES[report.completed_by]), now - request.arrived, trace_id)
        self._coverage.add((plan,), int(report.coverage.ratio * PPM), trace_id)
        for row in report.branches:
            self._branches.add((plan, row.branch, STATES[row.state], REASONS[row.reason]), row.elapsed or 0, trace_id)
            if row.sla_met is not None:
                self._sla.add((plan, row.branch, MET[row.sla_met]))
        if report.degraded:
            for cause in report.degraded.names():
                self._degraded.add((plan, cause))
        if report.aggregator_mode is AggregatorMode.FELL_BACK:
            self._fallbacks.add()

    def late(self, run: BranchRun) -> None:  # noqa: ARG002  (the protocol's)
        """Count the answer that nobody waited for."""
        self._late.add()

    def expression_error(self, where: str) -> None:
        """Count it by where it stands."""
        self._expressions.add((where,))

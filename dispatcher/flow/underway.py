"""A request as it is seen by whoever may have to give it up while it runs."""

from __future__ import annotations

from dispatcher.flow.run import Run


class Underway:
    """A request while it runs, for whoever has to know whether it may still be given up."""

    __slots__ = ("run",)

    def __init__(self) -> None:
        self.run: Run | None = None

    def give_up(self) -> bool:
        """End it in this very step, unless a write may have reached a worker; whether it is over.

        To cancel its task is not enough: that comes with the next turn of the loop, and before it a write may leave.
        """
        if self.run is None:
            return True  # nothing has begun
        if self.run.wrote:
            return False
        self.run.abandon()
        return True

    @property
    def end(self) -> int:
        """When it has ended at the latest, in the clock's ns."""
        return 0 if self.run is None else self.run.request.arrived + self.run.deadlines.total

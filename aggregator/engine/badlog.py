"""The one error of the fold: a log that breaks the protocol."""

from __future__ import annotations


class BadLog(ValueError):  # noqa: N818  (it names what is wrong: the log)
    """The log breaks the protocol: no start, an unknown branch, time or sequence going backwards, an ending after the end.

    A defect of whoever writes the log, never a fate of a request; so it is raised and not returned.
    """

"""How things end, and why: the closed sets.

Members carry the numbers of their protobuf twins (a test holds them together), so that crossing the wire is a call of `int`.
"""

from __future__ import annotations

from enum import IntEnum, unique


@unique
class BranchState(IntEnum):
    """How a branch ended."""

    PENDING = 1
    SUCCEEDED = 2
    DEFAULTED = 3
    FELL_BACK = 4
    SKIPPED = 5
    REJECTED = 6
    TIMED_OUT = 7
    FAILED = 8
    CANCELLED = 9


@unique
class BranchReason(IntEnum):
    """Why a branch ended as it did. NONE: it answered."""

    NONE = 0
    CONDITION = 1
    CONDITION_ERROR = 2
    ROLLOUT = 3
    BUDGET = 4
    BREAKER_OPEN = 5
    OVERLOAD = 6
    RATE_LIMIT = 7
    SOFT_TIMEOUT = 8
    HARD_TIMEOUT = 9
    REQUEST_DEADLINE = 10
    NOT_STARTED_NO_TIME = 11
    WORKER_ERROR = 12
    UPSTREAM_MISSING = 13
    COMPLETION_MET = 14
    CALLER_GONE = 15
    INVALID_RESPONSE = 16
    TOO_LARGE = 17
    LATE = 18
    STREAM_BROKEN = 19


@unique
class CompletedBy(IntEnum):
    """The rule that ended a request."""

    ALL = 1
    FIRST = 2
    COUNT = 3
    REQUIRED = 4
    COVERAGE = 5
    PREDICATE = 6
    CONFIDENCE = 7
    SOFT_TIMEOUT = 8
    HARD_TIMEOUT = 9
    QUIET = 10
    BRANCH_FAILURE = 11
    CALLER_GONE = 12
    UNREACHABLE = 13
    EMPTY = 14


@unique
class AggregatorMode(IntEnum):
    """Where the merge ran."""

    EMBEDDED = 1
    REMOTE = 2
    FELL_BACK = 3


@unique
class AttemptKind(IntEnum):
    """Why an attempt was made."""

    FIRST = 1
    RETRY = 2
    HEDGE = 3
    SHADOW = 4
    PROBE = 5


@unique
class PartMode(IntEnum):
    """How a part of a stream joins the parts before it."""

    APPEND = 1
    REPLACE = 2


@unique
class EmitMode(IntEnum):
    """What a caller is sent while its request runs."""

    FINAL = 1
    SNAPSHOT = 2
    DELTA = 3
    BRANCH_EVENTS = 4


@unique
class IfMissing(IntEnum):
    """What a missing answer means: left out, replaced by a default, or the end of the request."""

    SKIP = 1
    USE = 2
    FAIL = 3


@unique
class Gather(IntEnum):
    """What the answers of a node's items become together."""

    LIST = 1
    CONCAT = 2
    MAP = 3


@unique
class OnFailure(IntEnum):
    """What a failed branch means for the others."""

    SETTLE = 1
    STOP_NEW = 2
    CANCEL_ALL = 3


@unique
class ChangeKind(IntEnum):
    """A node's fate before it answers."""

    PLANNED = 1
    STARTED = 2
    EXCLUDED = 3
    EXPANDED = 4


@unique
class AlarmKind(IntEnum):
    """What was due."""

    BRANCH_SOFT = 1
    PLAN_SOFT = 2
    GRACE = 3
    QUIET = 4
    STOP = 5
    PREDICATE = 6

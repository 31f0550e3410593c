import pytest

from fanmesh.model.fault import Code
from fanmesh.model.times import MS
from fanmesh.transport.cancel import canceller, measured
from fanmesh.transport.failures import failure, late

REFUSED = "failed to connect to all addresses; last error: UNKNOWN: ipv4:10.0.0.1:80: Connection refused"


@pytest.mark.parametrize(
    ("code", "message", "address", "connected", "sent"),
    [
        (14, REFUSED, "10.0.0.1:80", False, False),
        (14, REFUSED, "ipv4:10.0.0.1:80", False, False),
        (14, REFUSED, "geo.local:80", False, False),
        (14, "DNS resolution failed for geo.local:80: …", "geo.local:80", False, False),
        (14, "errors resolving geo.local:80: …", "geo.local:80", False, False),
        (14, REFUSED, "10.0.0.2:80", False, True),
        (14, REFUSED, "10.0.0.1:80", True, True),
        (14, "Socket closed", "10.0.0.1:80", False, True),
        (13, REFUSED, "10.0.0.1:80", False, True),
    ],
)
def test_never_sent_needs_text_channel_and_address(code: int, message: str, address: str, connected: bool, sent: bool) -> None:  # noqa: FBT001
    """One of them alone could be a relayed error, and a write would be repeated."""
    assert failure(code, message, (), address=address, connected=connected, late=False).sent is sent


def test_only_a_late_deadline_is_ours() -> None:
    """Within 2 ms of the timeout or after it; without a timeout never; other codes never."""
    assert late(100 * MS, 0.1)
    assert late(98 * MS, 0.1)
    assert not late(97 * MS, 0.1)
    assert not late(97 * MS, None)
    assert failure(4, "", (), address="", connected=True, late=True).local_deadline
    assert not failure(14, "", (), address="", connected=True, late=True).local_deadline


def test_a_code_nobody_knows_is_unknown() -> None:
    """A peer may send any number."""
    assert failure(77, "", (), address="", connected=True, late=False).code is Code.UNKNOWN


class _Call:
    def __init__(self) -> None:
        self.asked = 0

    def cancel(self) -> bool:
        self.asked += 1
        return True


class _Core:
    def __init__(self) -> None:
        self.asked = 0

    def done(self) -> bool:
        return self.asked > 0

    def cancel(self, details: str) -> None:
        assert details
        self.asked += 1


class _Wrapped:
    def __init__(self, core: _Core) -> None:
        self._cython_call = core


@pytest.mark.parametrize("version", ["1.75.1", "1.86.0", "2.0.0.dev0"])
def test_versions_nobody_has_measured_are_cancelled_the_public_way(version: str) -> None:
    """Private parts are used only where their shape is known."""
    call = _Call()
    assert canceller(version)(call)
    assert call.asked == 1


@pytest.mark.parametrize("version", ["1.76.0", "1.80.0rc1", "1.85.1"])
def test_measured_versions_are_cancelled_in_the_core(version: str) -> None:
    """Not through the method of the call, which leaks, and only once."""
    core = _Core()
    call = _Wrapped(core)
    assert canceller(version)(call)
    assert not canceller(version)(call)
    assert core.asked == 1


@pytest.mark.parametrize(("version", "known"), [("1.75.1", False), ("1.76.0", True), ("1.85.1", True), ("1.86.0", False)])
def test_private_parts_are_used_only_where_they_were_looked_at(version: str, *, known: bool) -> None:
    """The limits are those of the measurements."""
    assert measured(version) is known

import grpc
import pytest

from fanmesh.model.fault import Code
from fanmesh.model.times import MS
from fanmesh.transport.cancel import canceller, measured
from fanmesh.transport.failures import closed, connected, cut_off, failure, late

REFUSED = "failed to connect to all addresses; last error: UNKNOWN: {}: Connection refused"
OURS = REFUSED.format("ipv4:10.0.0.1:80")


@pytest.mark.parametrize(
    ("address", "message", "sent"),
    [
        ("10.0.0.1:80", OURS, False),
        ("ipv4:10.0.0.1:80", OURS, False),
        ("dns:///10.0.0.1:80", OURS, False),
        ("10.0.0.2:80", OURS, True),
        ("10.0.0.1:8", OURS, True),
        ("0.0.0.1:80", OURS, True),
        ("10.0.0.1:80", "Socket closed", True),
        ("10.0.0.1:80", f"upstream: {OURS}", True),
        ("[::1]:80", REFUSED.format("ipv6:%5B::1%5D:80"), False),
        ("ipv6:[0:0::1]:80", REFUSED.format("ipv6:%5B::1%5D:80"), False),
        ("[::2]:80", REFUSED.format("ipv6:%5B::1%5D:80"), True),
        ("unix:/run/geo", REFUSED.format("unix:/run/geo"), False),
        ("unix:/run/geo", REFUSED.format("unix:/run/geo2"), True),
        ("geo.local:80", OURS, False),
        ("dns:///geo.local:80", REFUSED.format("ipv6:%5Bfd00::7%5D:80"), False),
        ("dns:///geo.local:81", OURS, True),
        ("dns:///geo.local:80", "DNS resolution failed for geo.local:80: …", False),
        ("geo.local:80", "errors resolving geo.local:80: […]", False),
        ("geo.local:80", "errors resolving users.local:80: […]", True),
        ("xds:///geo", "Failed to create XdsClient: …", False),
        ("geo.local:80", "Failed to create XdsClient: …", True),
        ("xds:///geo", OURS, True),
    ],
)
def test_never_sent_needs_a_text_about_our_own_address(address: str, message: str, *, sent: bool) -> None:
    """Another address, or a port that only begins alike, may be a relayed error: then a write would be repeated."""
    assert failure(14, message, (), address=address, connected=False, late=False).sent is sent


@pytest.mark.parametrize(("code", "connected"), [(14, True), (13, False)])
def test_never_sent_needs_the_code_and_a_channel_without_connection(code: int, *, connected: bool) -> None:
    """The text alone could be a relayed error."""
    assert failure(code, OURS, (), address="10.0.0.1:80", connected=connected, late=False).sent


@pytest.mark.parametrize("state", grpc.ChannelConnectivity)
def test_only_a_channel_that_failed_to_connect_has_had_no_connection(state: grpc.ChannelConnectivity) -> None:
    """A peer that leaves answers what it has taken while the channel is idle, or connects again."""
    assert connected(state) is (state is not grpc.ChannelConnectivity.TRANSIENT_FAILURE)


def test_a_closed_channel() -> None:
    """Before the call it is certain that nothing was sent; under it nothing is."""
    assert [(e.code, e.sent) for e in (closed("a:1"), cut_off("a:1"))] == [(Code.UNAVAILABLE, False), (Code.UNAVAILABLE, True)]


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

"""How many streams a client resets: below what servers allow, at once and for as long as it goes on."""

import pytest

from fanmesh.model.times import MS, SECOND
from fanmesh.transport.fast.defences import OUR_RESETS, Bucket, Ration

H2_AT_ONCE = 200
NGHTTP2 = (1000, 33)
"""What servers on Rust's h2 and on libnghttp2 take before they hang up."""


def test_a_storm_of_cancellations_stays_within_what_servers_allow() -> None:
    """Two minutes of wanting to reset a stream each millisecond."""
    ration, server = Ration(*OUR_RESETS), Bucket(*NGHTTP2)
    taken = [now for now in range(0, 120 * SECOND, MS) if ration.take(now)]
    assert all(server.take(now) for now in taken)
    assert sum(now < 100 * MS for now in taken) < H2_AT_ONCE
    assert len(taken) >= 900 + 119 * 30


def test_it_says_how_long_to_wait() -> None:
    """Then one more is allowed, and not before; after a rebuke half of everything."""
    ration = Ration((2, 10), (3, 1))
    assert [ration.take(0) for _ in range(3)] == [True, True, False]
    assert ration.wait(0) == 0.1
    assert ration.take(SECOND // 10)
    assert ration.wait(SECOND // 5) == pytest.approx(0.8)
    assert not ration.take(SECOND // 5)
    ration.halve()
    assert [(bucket.burst, bucket.rate) for bucket in ration.buckets] == [(1.0, 5.0), (1.5, 1.0)]

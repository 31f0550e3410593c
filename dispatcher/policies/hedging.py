"""Whether a branch may be hedged at all, and after how long.

Asked once, when the first attempt leaves, and not when the timer fires: most of the reasons are known by then, and a hedge that
is not going to be made should not cost a timer. What can change while the first attempt flies is asked again by `still`.
"""

from __future__ import annotations

from dispatcher.model.policy import Hedge
from dispatcher.policies.attempts import Denied
from dispatcher.policies.latency import Latencies


def delay_of(hedge: Hedge, latencies: Latencies, now: int) -> int | Denied:
    """From the send to the hedge, in ns: the quantile of the attempts within [minimum, maximum], or the fixed delay.

    Of what the quantile may be, the early end: a hedge that is late has missed its purpose, and one that is early is paid for
    by an allowance that is limited anyway. COLD below `min_samples`, ALL_SLOW if the quantile has reached the maximum: when
    everything is slow a copy makes it slower.
    Sources: Finagle's BackupRequestFilter (off above its largest trackable latency), Tail at Scale (the 95th percentile).
    """
    if hedge.delay is not None:
        return hedge.delay
    quantile = latencies.early(hedge.quantile, now) if latencies.samples(now) >= hedge.min_samples else None
    if quantile is None:
        return Denied.COLD
    if quantile >= hedge.maximum:
        return Denied.ALL_SLOW
    return max(quantile, hedge.minimum)


def still(latencies: Latencies, remaining: int, now: int) -> Denied | None:
    """Why the hedge is not worth it now, with `remaining` ns until the deadline: it could not be expected to end in time."""
    expected = latencies.quantile(0.5, now)
    return Denied.NO_TIME if expected is not None and remaining < expected else None

"""The aggregation engine: a pure fold over one request's event log. No clock, no I/O, no randomness.

Pure, because the same log is folded in two places: in the dispatcher and in the Aggregator service. Without a clock of its
own neither can disagree with the other, and a broken remote one is replaced by replaying the log.
"""

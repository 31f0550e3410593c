"""The Aggregator: the merge as a pure fold, and as a service around it."""

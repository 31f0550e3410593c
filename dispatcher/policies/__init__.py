"""Pure state machines: they take `now` and `u`, and return decisions."""

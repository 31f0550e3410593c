"""The Dispatcher: one request in, many workers called, one merged answer out."""

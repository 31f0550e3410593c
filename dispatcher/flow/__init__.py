"""The story of one request: route, plan, run, reply."""

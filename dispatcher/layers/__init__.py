"""Shells around a call, 20 to 60 lines each: ask a policy, then wait, call or skip. They own no rules."""

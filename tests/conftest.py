"""How many examples Hypothesis tries, and that no test fails because the machine is busy.

Its own defaults end a test that takes 200 ms for one example, or that draws slowly: bounds by the wall clock, which say more
about the neighbours than about the code.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile("full", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("unit", settings.get_profile("full"), max_examples=10)  # `make unit`: the inner loop
settings.register_profile("ci", settings.get_profile("full"), derandomize=True, print_blob=True)  # a red run can be repeated
settings.load_profile("ci" if os.environ.get("CI") else "full")

"""How long a call takes at a replica: drawn from the request, its branch and how many calls of it came before, nothing else.

Not from a generator that runs along: then a draw would depend on the order of arrival, and two variants under the same seed
would see different work. So the first call of a request is the same in every variant, and a second one draws anew.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from hashlib import blake2b


@dataclass(frozen=True, slots=True)
class Shape:
    """A lognormal of that `mean` and `deviation` in ms; a `stragglers` share of calls takes `times` as long.

    Of first calls it is exactly that share: one of each 1/share requests, which one is drawn. What is said of 5 % must not be
    measured on 5.9 %, as a free draw of some thousand calls may be. Calls beyond the first draw freely.
    """

    seed: str
    mean: float = 5.0
    deviation: float = 2.0
    stragglers: float = 0.05
    times: float = 10.0

    def milliseconds(self, request: int, branch: str, call: int) -> float:
        """The latency of a request's call number `call`, counted from 0."""
        digest = blake2b(f"{self.seed}/{request}/{branch}/{call}".encode(), digest_size=24).digest()
        radius, angle, luck = (int.from_bytes(digest[at : at + 8]) / 2**64 for at in (0, 8, 16))
        normal = math.sqrt(-2.0 * math.log(1.0 - radius)) * math.cos(math.tau * angle)  # Box-Muller
        spread = math.log1p((self.deviation / self.mean) ** 2)
        latency = self.mean * math.exp(math.sqrt(spread) * normal - spread / 2)
        return latency * self.times if self._late(request, branch, call, luck) else latency

    def _late(self, request: int, branch: str, call: int, luck: float) -> bool:
        """Whether the call is a straggler; `luck` in [0, 1)."""
        if call or not self.stragglers:
            return luck < self.stragglers
        every = round(1 / self.stragglers)
        block, place = divmod(request, every)
        drawn = blake2b(f"{self.seed}/{block}/{branch}".encode(), digest_size=8).digest()
        return int.from_bytes(drawn) % every == place

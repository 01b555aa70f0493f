"""What waits in the queue, by lane and project -> what of it goes after a newcomer. Pure.

Within a lane the fair order serves every project as fast as its weight says: until a project has
got `x` seconds for each unit of its weight, the others have got as much, or all that they want.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping
from itertools import accumulate
from typing import NamedTuple


class Waits(NamedTuple):
    lane: int
    project: str


class Runs(NamedTuple):
    """Sums over runs, of the seconds that each takes one worker."""

    seconds: float = 0.0
    squares: float = 0.0

    def and_another(self, seconds: float, times: int = 1) -> "Runs":
        return Runs(self.seconds + seconds * times, self.squares + seconds**2 * times)

    def and_these(self, others: "Runs") -> "Runs":
        return Runs(self.seconds + others.seconds, self.squares + others.squares)

    @property
    def residual(self) -> float:
        """What is left of the one in service at any moment: the longer, the likelier it is met."""
        return self.squares / (2 * self.seconds) if self.seconds else 0.0


class Standing:
    def __init__(
        self, waiting: Mapping[Waits, Runs], held: float, weights: Mapping[str, float]
    ) -> None:
        """Seconds of one worker; what it `held` goes before all. Who has no weight has 1."""
        self._waiting = waiting
        self._held = held
        self._weights = weights
        shares: defaultdict[int, list[Share]] = defaultdict(list)
        for (lane, project), runs in waiting.items():
            shares[lane].append(Share(runs.seconds, weights.get(project, 1.0)))
        self._lanes = {lane: Lane(found) for lane, found in shares.items()}

    def until(self, lane: int) -> float:
        """Of what is held, and of all that waits in this lane and in more urgent ones."""
        waiting = (each.seconds for other, each in self._lanes.items() if other <= lane)
        return self._held + sum(waiting)

    def behind(self, lane: int) -> dict[int, Runs]:
        """What waits in less urgent lanes, added up at each call."""
        behind: dict[int, Runs] = {}
        for waits, runs in self._waiting.items():
            if waits.lane > lane:
                behind[waits.lane] = behind.get(waits.lane, Runs()).and_these(runs)
        return behind

    def of(self, waits: Waits) -> float:
        return self._waiting.get(waits, Runs()).seconds

    def after(self, waits: Waits, own: float) -> float:
        """Of what waits in its lane and is served once the project has got `own` seconds."""
        if waits.lane not in self._lanes:
            return 0.0
        return self._lanes[waits.lane].left(own / self._weights.get(waits.project, 1.0))


class Share(NamedTuple):
    seconds: float
    weight: float

    @property
    def served_at(self) -> float:
        """How much each unit of weight has got when all of it is done."""
        return self.seconds / self.weight


class Lane:
    """Sums from the end, so that an answer is one bisection however many projects there are."""

    def __init__(self, shares: list[Share]) -> None:
        shares.sort(key=lambda share: share.served_at)
        self._served = [share.served_at for share in shares]
        self._seconds = [*accumulate((share.seconds for share in reversed(shares)), initial=0.0)]
        self._weight = [*accumulate((share.weight for share in reversed(shares)), initial=0.0)]

    @property
    def seconds(self) -> float:
        return self._seconds[-1]

    def left(self, got: float) -> float:
        """Seconds that are left when each unit of weight has `got` so many."""
        larger = len(self._served) - bisect_right(self._served, got)
        return self._seconds[larger] - got * self._weight[larger]

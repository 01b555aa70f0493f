"""What this process has admitted lately -> what is ahead of the next, and how it will be delayed.

Work drains as a fluid does: every worker takes a second of it each second.
"""

from collections import deque
from collections.abc import Callable, Collection
from typing import Final, NamedTuple
from uuid import UUID

FORGOTTEN_AFTER: Final = 60.0  #: seconds; what is still on its way into the queue
LATELY: Final = 60.0  #: seconds whose arrivals tell of those to come
MOST: Final = 0.8  #: of the workers' time


class Arrival(NamedTuple):
    lane: int
    seconds: float  #: of one worker
    at: float


class Arrivals:
    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._read_at = clock()
        self._coming: dict[UUID, Arrival] = {}  # run -> what the queue is not known to have
        self._lately: deque[Arrival] = deque()

    def note(self, run: UUID, lane: int, seconds: float) -> None:
        arrival = Arrival(lane, seconds, self._clock())
        self._coming[run] = arrival
        self._lately.append(arrival)

    def awaited(self) -> list[UUID]:
        """Runs to look for in the queue; those that Kafka has not taken for long are forgotten."""
        since = self._clock() - FORGOTTEN_AFTER
        self._coming = {run: each for run, each in self._coming.items() if each.at >= since}
        return list(self._coming)

    def queue_read(self, found: Collection[UUID]) -> None:
        for run in found:
            self._coming.pop(run, None)
        self._read_at = self._clock()

    def backlog(self, read: float, lane: int, workers: int) -> float:
        """What is left of `read` seconds and of what came since, up to `lane`."""
        left, moment = read, self._read_at
        for each in self._coming.values():
            if each.lane <= lane:
                drained = max(each.at - moment, 0.0) * workers
                left, moment = max(left - drained, 0.0) + each.seconds, max(each.at, moment)
        return max(left - (self._clock() - moment) * workers, 0.0)

    def overtaking(self, lane: int, workers: int) -> float:
        """The share of the workers' time that more urgent lanes than `lane` took lately."""
        while self._lately and self._lately[0].at < self._clock() - LATELY:
            self._lately.popleft()
        taken = sum(each.seconds for each in self._lately if each.lane < lane)
        return min(taken / (LATELY * workers), MOST)

"""What this process has admitted lately -> what is ahead of the next, and what will delay it."""

from collections import defaultdict, deque
from collections.abc import Callable, Collection
from typing import Final, NamedTuple
from uuid import UUID

from services.backlog import Backlog
from services.standing import Standing, Waits

FORGOTTEN_AFTER: Final = 60.0  #: seconds; what is still on its way into the queue
LATELY: Final = 60.0  #: seconds whose arrivals tell of those to come
AT_LEAST: Final = 5.0  #: seconds that a burst is taken to have lasted
AGAIN: Final = 0.5  #: of a burst; half to three quarters miss about as much


class Arrival(NamedTuple):
    waits: Waits
    seconds: float  #: of one worker
    at: float

    @property
    def lane(self) -> int:
        return self.waits.lane


class Arrivals:
    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._read_at = clock()
        self._coming: dict[UUID, Arrival] = {}  # run -> what the queue is not known to have
        self._in_order: list[Arrival] = []  # the same
        self._of: defaultdict[Waits, float] = defaultdict(float)  # the same, seconds
        self._counted: dict[tuple[Standing, int, int], tuple[int, Backlog]] = {}
        self._lately: defaultdict[int, deque[Arrival]] = defaultdict(deque)  # lane -> the last
        self._taken: defaultdict[int, float] = defaultdict(float)  # lane -> seconds, lately

    def note(self, run: UUID, waits: Waits, seconds: float) -> None:
        """Whoever notes a run again changes nothing, as long as the queue does not have it."""
        if run in self._coming:
            return
        arrival = Arrival(waits, seconds, self._clock())
        self._coming[run] = arrival
        self._in_order.append(arrival)
        self._of[waits] += seconds
        self._lately[waits.lane].append(arrival)
        self._taken[waits.lane] += seconds

    def of(self, waits: Waits) -> float:
        """Seconds that the queue is not known to have."""
        return self._of.get(waits, 0.0)

    def awaited(self) -> list[UUID]:
        """Runs to look for in the queue; those that Kafka has not taken for long are forgotten."""
        since = self._clock() - FORGOTTEN_AFTER
        self._coming = {run: each for run, each in self._coming.items() if each.at >= since}
        self._count_anew()
        return list(self._coming)

    def queue_read(self, found: Collection[UUID]) -> None:
        for run in found:
            self._coming.pop(run, None)
        self._read_at = self._clock()
        self._count_anew()

    def backlog(self, standing: Standing, lane: int, workers: int) -> float:
        """What is left of what was `standing` at the last read and of what came since, for `lane`.

        Each arrival is counted once: thousands may come between two reads of the queue.
        """
        key = (standing, lane, workers)
        if key not in self._counted:
            self._counted[key] = (0, Backlog(standing, lane, workers, self._read_at))
        counted, backlog = self._counted[key]
        for each in self._in_order[counted:]:
            backlog.come(each.lane, each.seconds, each.at)
        self._counted[key] = (len(self._in_order), backlog)
        return backlog.left(self._clock())

    def delayed(self, seconds: float, lane: int, workers: int) -> float:
        """When what takes `seconds` is done while more urgent lanes than `lane` overtake it.

        They are expected to take as much of the workers' time as since their first arrival
        lately, until half of that has come again: a burst would else go on for ever.
        """
        self._forget()
        urgent = [each for other, each in self._lately.items() if other < lane and each]
        if not urgent:
            return seconds
        lasted = max(self._clock() - min(each[0].at for each in urgent), AT_LEAST)
        taken = sum(self._taken[other] for other in range(lane)) / workers
        later = seconds + taken * AGAIN
        return later if taken >= lasted else min(seconds / (1 - taken / lasted), later)

    def _forget(self) -> None:
        for lane, arrivals in self._lately.items():
            while arrivals and arrivals[0].at < self._clock() - LATELY:
                self._taken[lane] -= arrivals.popleft().seconds

    def _count_anew(self) -> None:
        self._in_order = list(self._coming.values())
        self._of.clear()
        for each in self._in_order:
            self._of[each.waits] += each.seconds
        self._counted.clear()

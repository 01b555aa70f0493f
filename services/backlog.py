"""What is ahead of a lane's newcomer: a fluid that each worker takes a second of each second. Pure.

Nobody interrupts a run. Who comes while a less urgent one is in service waits until it has ended,
so as long as there is such work the backlog never falls below what is left of a run on average,
E[S²] / 2 E[S] (Cobham, "Priority assignment in waiting line problems", Operations Research 1954).
"""

from services.standing import Runs, Standing


class Backlog:
    def __init__(self, standing: Standing, lane: int, workers: int, moment: float) -> None:
        """As it was read at `moment`, for those who come to `lane`."""
        self._lane = lane
        self._workers = workers
        self._moment = moment
        self._ahead = standing.until(lane)
        self._behind = standing.behind(lane)
        self._all = self._ahead + sum(runs.seconds for runs in self._behind.values())

    def come(self, lane: int, seconds: float, moment: float) -> None:
        """A run that takes one worker so long."""
        self._drain(moment)
        self._all += seconds
        if lane <= self._lane:
            self._ahead += seconds
        else:
            self._behind[lane] = self._behind.get(lane, Runs()).and_another(seconds)

    def left(self, moment: float) -> float:
        """Seconds of one worker; `moment` is never before an earlier one."""
        self._drain(moment)
        return self._ahead

    def _drain(self, moment: float) -> None:
        drained = max(moment - self._moment, 0.0) * self._workers
        self._moment = max(moment, self._moment)
        self._all = max(self._all - drained, 0.0)
        self._ahead = max(self._ahead - drained, min(self._in_service(), self._all))

    def _in_service(self) -> float:
        """What is left of a less urgent run: the most urgent of them are begun first."""
        return self._behind[min(self._behind)].residual if self._behind else 0.0

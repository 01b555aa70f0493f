"""The whole deployment's depths and lags -> this process's gauges, every few seconds."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from time import monotonic
from typing import Final

from schemas.queue import RowState
from services import lag
from services.lag import KafkaLag, Lag
from services.metrics import (
    BEHIND,
    BEHIND_SECONDS,
    QUARANTINE,
    QUEUE_OLDEST_SECONDS,
    QUEUE_RUNS,
    UNPUBLISHED,
)
from services.mongo import Mongo
from services.queue_depth import Depth, depths
from services.settings import KafkaSettings

SHARE: Final = 20  #: looking takes at most this part of the time, however long the queue is
EVERY: Final = timedelta(seconds=5)


class Gauges:
    def __init__(self, mongo: Mongo, kafka: KafkaSettings) -> None:
        self._mongo = mongo
        self._kafka = kafka
        self._depths_after = 0.0

    async def depths(self) -> None:
        began = monotonic()
        if began < self._depths_after:
            return
        show_depths(await depths(self._mongo))
        for unpublished in (lag.outbox, lag.outcomes, lag.library):
            found = await unpublished(self._mongo)
            for what, count in found.parts.items():
                UNPUBLISHED.labels(what).set(count)
        QUARANTINE.set(await self._mongo.quarantine.estimated_document_count())
        self._depths_after = monotonic() + SHARE * (monotonic() - began)

    async def lags(self) -> None:
        """For as long as Kafka answers with the same connections; `kept_up` begins anew."""
        async with KafkaLag.open(self._kafka) as kafka:
            while True:
                show_lags((await kafka.intake(), await kafka.projector(self._mongo)))
                await asyncio.sleep(EVERY.total_seconds())


def show_depths(found: Sequence[Depth]) -> None:
    """A series that was shown once goes to zero, never away."""
    runs = {(depth.state, depth.lane, depth.model): depth for depth in found}
    for shown in _shown.difference(runs):
        QUEUE_RUNS.labels(*shown).set(0)
        if shown[0] == RowState.READY:
            QUEUE_OLDEST_SECONDS.labels(*shown[1:]).set(0)
    for labels, depth in runs.items():
        QUEUE_RUNS.labels(*labels).set(depth.runs)
        if depth.state == RowState.READY:
            QUEUE_OLDEST_SECONDS.labels(depth.lane, depth.model).set(depth.oldest_seconds)
    _shown.update(runs)


def show_lags(found: Sequence[Lag]) -> None:
    for consumer in found:
        for topic, records in consumer.parts.items():
            BEHIND.labels(consumer.name, topic).set(records)
        BEHIND_SECONDS.labels(consumer.name).set(consumer.oldest_seconds or 0.0)


_shown: set[tuple[str, str, str]] = set()  # as Prometheus' own registry: one a process

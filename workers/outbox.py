"""Unpublished jobs in, their commands to Kafka: what the API could not hand on, it does.

It also counts what waits anywhere, for `/metrics`: the one process that looks at all of it.
"""

import asyncio
import signal

from services import gauges, metrics, telemetry
from services.admission import Admission
from services.broker import Publisher
from services.engine.catalogue import Catalogue
from services.library.publication import Publication
from services.mongo import open_mongo
from services.outbox import Outbox
from services.redelivery import kept_up
from services.settings import Settings
from services.signing import Signer


async def main() -> None:
    settings = Settings()
    telemetry.configure(settings, "outbox")
    metrics.serve(settings.metrics)
    signer = Signer(settings.master_secret.get_secret_value())
    catalogue = Catalogue.load(settings.engine.models)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with open_mongo(settings.mongo) as mongo, Publisher.open(settings.kafka) as publisher:
        outbox = Outbox(mongo, Admission(mongo, publisher, signer, catalogue), settings.outbox)
        feed = Publication(mongo, publisher)
        seen = gauges.Gauges(mongo, settings.kafka)
        running = [
            asyncio.create_task(kept_up(outbox.republish, "outbox", settings.outbox.poll)),
            asyncio.create_task(kept_up(feed.publish, "library", settings.outbox.poll)),
            asyncio.create_task(kept_up(seen.depths, "depths", gauges.EVERY)),
            asyncio.create_task(kept_up(seen.lags, "lags", gauges.EVERY)),
        ]
        await stopped.wait()
        for task in running:
            task.cancel()
        await asyncio.wait(running)


if __name__ == "__main__":
    asyncio.run(main())

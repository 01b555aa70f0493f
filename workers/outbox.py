"""Unpublished jobs and events in, to Kafka they go: what the API could not hand on, it does.

It ends what was begun of deletions and purges, too, learns the recipes that other services
publish, and counts what waits anywhere, for `/metrics`: the one process that looks at all of it.
"""

import asyncio
import signal
from datetime import timedelta
from typing import Final

import uvloop

from schemas.topics import RECIPES_EVENTS
from services import gauges, metrics, telemetry
from services.accounts import Keys
from services.admission import Admission
from services.broker import Publisher
from services.engine.catalogue import Catalogue
from services.library.feed import Feed
from services.library.publication import Publication
from services.library.whole import Library
from services.mongo import open_mongo
from services.object_store import S3ObjectStore
from services.outbox import Outbox
from services.producers import Producers
from services.recipes.learning import GROUP, Learning
from services.recipes.store import Recipes
from services.redelivery import kept_up
from services.settings import Settings
from services.signing import Signer
from services.subscription import subscribed
from services.watchdog import Watchdog

UPLOADS_EVERY: Final = timedelta(minutes=1)
#: Longer than a consumer takes to break, be closed and made anew: what this ends is a blocked loop.
STUCK_AFTER: Final = timedelta(minutes=5)
STOPPED_WITHIN: Final = 15.0  #: seconds for the recipes in hand and for leaving their group


async def main() -> None:
    settings = Settings()
    telemetry.configure(settings, "outbox")
    metrics.serve(settings.metrics)
    signer = Signer(settings.master_secret.get_secret_value())
    catalogue = Catalogue.load(settings.engine.models)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with (
        open_mongo(settings.mongo) as mongo,
        Publisher.open(settings.kafka) as publisher,
        S3ObjectStore.open(settings.s3) as store,
    ):
        feed = Feed(mongo)
        admission = Admission(mongo, publisher, signer, catalogue, feed)
        library = Library(mongo, feed, store, admission.cancel)
        producers = Producers(signer, Keys(mongo, signer, feed))
        learning = Learning(settings, producers, Recipes(mongo), publisher)
        seen = gauges.Gauges(mongo, settings.kafka)
        every = settings.outbox.poll
        chores = (
            (Outbox(mongo, admission, settings.outbox).republish, "outbox", every),
            (Publication(mongo, publisher).publish, "library", every),
            (library.generations.see_retries, "retries", every),
            (library.deletion.sweep, "deletions", every),
            (library.purging.sweep, "purges", every),
            (library.uploads.sweep, "uploads", UPLOADS_EVERY),
            (seen.depths, "depths", gauges.EVERY),
            (seen.lags, "lags", gauges.EVERY),
        )
        watchdog = Watchdog(STUCK_AFTER)
        watchdog.start()
        recipes = subscribed(settings.kafka, RECIPES_EVENTS, GROUP, learning.learn, watchdog)
        running = [asyncio.create_task(kept_up(*chore)) for chore in chores]
        running.append(asyncio.create_task(recipes))
        await stopped.wait()
        for task in running:
            task.cancel()
        await asyncio.wait(running, timeout=STOPPED_WITHIN)


if __name__ == "__main__":
    uvloop.run(main())

"""MongoDB's part of what may be wrong: its clock and indexes, and what lies in it too long."""

from datetime import UTC, timedelta
from typing import Final

from schemas.common import now
from services import lag
from services.indexes import COLLECTIONS
from services.lag import Lag
from services.mongo import open_mongo
from services.queue_depth import depths
from services.settings import Settings

SKEW_SECONDS: Final = 2.0  #: keys and idempotency expire by our clock, leases by the server's
UNPUBLISHED_SECONDS: Final = 60.0  #: five seconds are usual
LATELY: Final = timedelta(minutes=10)
SHOWN: Final = 3


async def clock(settings: Settings) -> str:
    async with open_mongo(settings.mongo) as mongo:
        await mongo.ping()  # to connect takes time that is no part of the question's
        asked = now()
        told = await mongo.client.admin.command("hello")
        ahead = (asked - told["localTime"].replace(tzinfo=UTC)).total_seconds()
    if abs(ahead) > SKEW_SECONDS:
        way = "ahead of" if ahead > 0 else "behind"
        raise LookupError(
            f"this machine's clock is {abs(ahead):.0f} s {way} MongoDB's; "
            "let both be set by NTP (`timedatectl set-ntp true`)"
        )
    return f"{abs(ahead):.1f} s apart from MongoDB's"


async def indexes(settings: Settings) -> str:
    missing = []
    async with open_mongo(settings.mongo) as mongo:
        for collection, wanted in COLLECTIONS.items():
            found = await mongo.database[collection].index_information()
            names = [index.document["name"] for index in wanted]
            missing += [f"{collection}.{name}" for name in names if name not in found]
    if missing:
        named = ", ".join(missing[:SHOWN])
        raise LookupError(f"{len(missing)} are missing ({named}); run `./darkroom migrate`")
    return f"those of {len(COLLECTIONS)} collections"


async def quarantine(settings: Settings) -> str:
    async with open_mongo(settings.mongo) as mongo:
        count = await mongo.quarantine.count_documents({})
        first = await mongo.quarantine.find_one({}, {"value": 0})
    if first is not None:
        raise LookupError(
            f"{count} events could not be folded, such as {first['_id']} ({first['reason']}); "
            "the projector tries them again when it starts: bring it up to date, then restart it"
        )
    return "empty"


async def unpublished(settings: Settings) -> str:
    async with open_mongo(settings.mongo) as mongo:
        found = [
            (await lag.outbox(mongo), "commands", "outbox"),
            (await lag.outcomes(mongo), "outcomes", "generator"),
        ]
    for waiting, what, process in found:
        if (waiting.oldest_seconds or 0.0) > UNPUBLISHED_SECONDS:
            raise LookupError(
                f"{waiting.behind} {what} are not in Kafka, the oldest for "
                f"{waiting.oldest_seconds:.0f} s; is Kafka there? Read `./darkroom logs {process}`"
            )
    return f"{sum(waiting.behind for waiting, _, _ in found)} commands and outcomes on their way"


async def leases(settings: Settings) -> str:
    """A second attempt means that the first one's worker died or hung."""
    async with open_mongo(settings.mongo) as mongo:
        lately = {"ended_at": {"$gt": now() - LATELY}, "attempt": {"$gt": 1}}
        open_again = {"state": {"$in": ["ready", "leased"]}, "attempt": {"$gt": 1}}
        expired = {"state": "ready", "attempt": 1}  # what is given back in order counts as none
        found = await mongo.queue.count_documents({"$or": [lately, open_again, expired]})
    if found:
        raise LookupError(
            f"{found} runs of the last {LATELY.seconds // 60} minutes needed a second "
            "attempt: a generator died or hung; read `./darkroom logs generator`"
        )
    return f"none ran out in the last {LATELY.seconds // 60} minutes"


async def queue(settings: Settings) -> str:
    async with open_mongo(settings.mongo) as mongo:
        found = lag.queue(await depths(mongo))
    if found.parts["ready"] and not found.parts["leased"] and _old(found):
        raise LookupError(
            f"{found.parts['ready']} runs are ready, the oldest for {found.oldest_seconds:.0f} s, "
            "and nobody takes them; read `./darkroom logs generator`"
        )
    return ", ".join(f"{count} {state}" for state, count in found.parts.items())


def _old(found: Lag) -> bool:
    return (found.oldest_seconds or 0.0) > UNPUBLISHED_SECONDS

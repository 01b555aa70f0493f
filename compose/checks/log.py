"""Kafka's part of what may be wrong: topics, consumers that stand still, messages nobody could
read."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from schemas.topics import DEAD_LETTERS, TOPICS
from services.broker import Publisher
from services.event_log import EventLog
from services.lag import KafkaLag, Lag
from services.mongo import open_mongo
from services.redrive import DeadLetters
from services.settings import Settings
from services.topic_admin import TopicAdmin

WATCHED_SECONDS: Final = 2.0  #: in which a consumer that lives must have moved
SHOWN: Final = 3


async def topics(settings: Settings) -> str:
    """Partitions and settings as the migration makes them."""
    prefix = settings.kafka.topic_prefix
    async with TopicAdmin.open(settings.kafka) as admin:
        wrong = await admin.missing(TOPICS)
        if wrong:
            raise LookupError(f"{', '.join(wrong)}: not there; run `./darkroom migrate`")
        replicas = await admin.replicas_of_partitions(TOPICS)
        for topic in TOPICS:
            name = prefix + topic.name
            if len(replicas[name]) < topic.partitions:
                wrong.append(f"{name} has {len(replicas[name])} of {topic.partitions} partitions")
            found = await admin.settings_of(name)
            for setting, value in topic.config(min(replicas[name])).items():
                if found.get(setting) != value:
                    wrong.append(f"{name}: {setting} is {found.get(setting)}, not {value}")
    if wrong:
        raise LookupError(f"{'; '.join(wrong[:SHOWN])}; run `./darkroom migrate`")
    return f"{len(TOPICS)} topics with their partitions and settings"


async def intake(settings: Settings) -> str:
    async with KafkaLag.open(settings.kafka) as kafka:
        members = await kafka.members()
        before = await kafka.intake()
        if not members:
            told = f"{before.behind} commands wait" if before.behind else "nothing waits yet"
            raise LookupError(f"no generator is in its group, {told}; {_look('generator')}")
        if not before.behind:
            return f"nothing waits, {members} in the group"
        await asyncio.sleep(WATCHED_SECONDS)
        return _moving(before, await kafka.intake(), "generator")


async def projector(settings: Settings) -> str:
    async with open_mongo(settings.mongo) as mongo, KafkaLag.open(settings.kafka) as kafka:
        before = await kafka.projector(mongo)
        if not before.behind:
            return "nothing waits"
        await asyncio.sleep(WATCHED_SECONDS)
        return _moving(before, await kafka.projector(mongo), "projector")


async def dead_letters(settings: Settings) -> str:
    """Those that nobody has redriven or dropped yet."""
    async with _opened(settings) as letters:
        found = Counter(
            [
                letter.data.error
                async for letter in letters.kept()
                if letter.mark.redriven_at is None and letter.mark.dropped_at is None
            ]
        )
    if found:
        named = ", ".join(f"{count} {error}" for error, count in found.most_common(SHOWN))
        raise LookupError(
            f"{found.total()} messages could not be read ({named}); "
            "`./darkroom dead-letters ls`, then `redrive` or `drop` them"
        )
    return "none that nobody has looked after"


def _moving(before: Lag, after: Lag, process: str) -> str:
    oldest = "" if after.oldest_seconds is None else f", the oldest {after.oldest_seconds:.0f} s"
    if after.behind and after.position == before.position:
        raise LookupError(
            f"stands still with {after.behind} records to read{oldest}; {_look(process)}"
        )
    return f"{after.behind} records behind{oldest}, and moving"


def _look(process: str) -> str:
    return f"read `./darkroom logs {process}`"


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[DeadLetters]:
    async with (
        EventLog.open(settings.kafka, (DEAD_LETTERS,)) as event_log,
        open_mongo(settings.mongo) as mongo,
        Publisher.open(settings.kafka) as publisher,
    ):
        yield DeadLetters(event_log, mongo, publisher)

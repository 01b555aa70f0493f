"""How far each consumer is behind: intake, projector, outbox, outcomes, and the queue itself."""

import asyncio
from datetime import timedelta

from rich.table import Table

from compose.commands.topics import explained
from compose.console import Json, out, print_json
from compose.errors import CommandFailed
from compose.running import running_settings
from services import lag as measured
from services.lag import KafkaLag, Lag
from services.mongo import OUTAGES, open_mongo
from services.settings import Settings


def lag(json: Json = False) -> None:
    """Say how far each consumer is behind."""
    settings = running_settings()
    try:
        with explained(settings.kafka):
            lags = asyncio.run(measure(settings))
    except OUTAGES as error:
        raise CommandFailed("MongoDB does not answer", "run `./darkroom up`") from error
    if json:
        for line in lags:
            print_json(line)
    else:
        _print_table(lags)


async def measure(settings: Settings) -> tuple[Lag, ...]:
    """In the order of the flow."""
    async with open_mongo(settings.mongo) as mongo:
        await mongo.ping()  # it fails sooner than Kafka's clients start
        async with KafkaLag.open(settings.kafka) as kafka:
            outbox, outcomes, queue = await measured.in_mongo(mongo)
            return outbox, await kafka.intake(), queue, outcomes, await kafka.projector(mongo)


def _print_table(lags: tuple[Lag, ...]) -> None:
    table = Table("consumer", "behind", "oldest", "where", box=None)
    for line in lags:
        where = ", ".join(f"{name} {count}" for name, count in line.parts.items())
        table.add_row(line.name, str(line.behind), _age(line.oldest_seconds), where)
    out.print(table)


def _age(seconds: float | None) -> str:
    return "-" if seconds is None else str(timedelta(seconds=round(seconds)))

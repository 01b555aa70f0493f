"""The running processes and servers of a home, asked one by one."""

import asyncio
from collections.abc import Awaitable, Callable

from aiokafka.admin import AIOKafkaAdminClient

from compose.checks import Check
from compose.embedded.probes import http_status
from compose.embedded.status import StackStatus
from schemas.topics import TOPICS
from services.broker import BROKER_OUTAGES, client_settings
from services.errors import DarkroomError
from services.mongo import OUTAGES, open_mongo
from services.object_store import S3ObjectStore
from services.settings import Settings

PATIENCE_SECONDS = 10.0


def processes(written: StackStatus) -> tuple[Check, ...]:
    return tuple(
        Check(
            name=process.name,
            ok=process.ready,
            detail=f"pid {process.pid}, started again {process.restarts} times"
            + ("" if process.ready else f"; read `./darkroom logs {process.name}`"),
        )
        for process in written.processes
    )


async def servers(settings: Settings) -> tuple[Check, ...]:
    return (
        *await asyncio.gather(
            _asked("kafka answers", lambda: _topics(settings)),
            _asked("mongo answers", lambda: _mongo(settings)),
            _asked("s3 answers", lambda: _bucket(settings)),
        ),
        await _api(settings.port),
    )


async def _asked(name: str, ask: Callable[[], Awaitable[str]]) -> Check:
    """`ask` returns what it found; a complaint is raised as `LookupError`."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return Check(name=name, ok=True, detail=await ask())
    except (LookupError, DarkroomError, TimeoutError, *BROKER_OUTAGES, *OUTAGES) as error:
        return Check(name=name, ok=False, detail=f"{type(error).__name__}: {error}"[:300])


async def _topics(settings: Settings) -> str:
    wanted = {settings.kafka.topic_prefix + topic.name: topic.partitions for topic in TOPICS}
    admin = AIOKafkaAdminClient(**client_settings(settings.kafka))
    try:
        await admin.start()
        described = await admin.describe_topics(list(wanted))
    finally:
        await admin.close()
    found = {topic["topic"]: len(topic["partitions"]) for topic in described}
    short = [name for name, partitions in wanted.items() if found.get(name, 0) < partitions]
    if short:
        raise LookupError(f"{', '.join(short)}: missing or too few partitions; `darkroom migrate`")
    return f"{settings.kafka.bootstrap_servers}, {len(wanted)} topics with their partitions"


async def _mongo(settings: Settings) -> str:
    async with open_mongo(settings.mongo) as mongo:
        await mongo.ping()
    return f"database {settings.mongo.database}"


async def _bucket(settings: Settings) -> str:
    async with S3ObjectStore.open(settings.s3) as store:
        await store.ping()
    return f"{settings.s3.endpoint_url or 'AWS'}, bucket {settings.s3.bucket}"


async def _api(port: int) -> Check:
    status = await http_status(port, "/readyz")
    detail = f"/readyz on port {port} answers {status or 'nothing'}"
    return Check(name="api is ready", ok=status == 200, detail=detail)

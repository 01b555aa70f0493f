"""The running processes and servers of a home, asked one by one."""

import asyncio
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Final
from uuid import uuid4

from compose.checks import Check, database, log
from compose.embedded.probes import http_status
from compose.embedded.status import StackStatus
from services.broker import BROKER_OUTAGES
from services.errors import DarkroomError, NotFound, Unavailable
from services.mongo import PyMongoError, open_mongo
from services.object_store import S3ObjectStore
from services.settings import Settings
from services.topic_admin import TopicAdmin

PATIENCE_SECONDS = 20.0

Ask = Callable[[Settings], Awaitable[str]]

#: What only makes sense where these two answer; in the order of the flow.
DEEPER: Final[tuple[tuple[str, Ask], ...]] = (
    ("clock", database.clock),
    ("indexes", database.indexes),
    ("topics", log.topics),
    ("unpublished", database.unpublished),
    ("intake lag", log.intake),
    ("dead letters", log.dead_letters),
    ("queue", database.queue),
    ("leases", database.leases),
    ("projector lag", log.projector),
    ("quarantine", database.quarantine),
)


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
    """First whether they answer: what lies deeper could only say the same again."""
    answers = await asyncio.gather(
        _asked("kafka answers", _kafka, settings),
        _asked("mongo answers", _mongo, settings),
        _asked("s3 answers", _bucket, settings),
    )
    if not all(check.ok for check in answers[:2]):
        return answers
    return *answers, *await asyncio.gather(*(_asked(name, ask, settings) for name, ask in DEEPER))


async def _asked(name: str, ask: Ask, settings: Settings) -> Check:
    """`ask` returns what it found; a complaint is raised as `LookupError`."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return Check(name=name, ok=True, detail=await ask(settings))
    except LookupError as error:
        return Check(name=name, ok=False, detail=str(error.args[0]))
    except (DarkroomError, TimeoutError, *BROKER_OUTAGES, PyMongoError) as error:
        said = f"{type(error).__name__}: {error}"[:300]
        return Check(name=name, ok=False, detail=f"{said}; is it running, is its URL right?")


async def _kafka(settings: Settings) -> str:
    async with TopicAdmin.open(settings.kafka):
        return settings.kafka.bootstrap_servers


async def _mongo(settings: Settings) -> str:
    async with open_mongo(settings.mongo) as mongo:
        await mongo.ping()
    return f"database {settings.mongo.database}"


async def _bucket(settings: Settings) -> str:
    """Something is written, read and removed again."""
    where = f"{settings.s3.endpoint_url or 'AWS'}, bucket {settings.s3.bucket}"
    key, content = f"doctor/{uuid4()}", b"written by doctor"
    async with S3ObjectStore.open(settings.s3) as store:
        try:
            await store.ping()  # which tells a bucket that is not there from one out of reach
            await store.put(key, content, "text/plain", sha256(content).hexdigest())
            same = await store.get(key) == content
            await store.delete(key)
        except NotFound as error:
            raise LookupError(f"{where} is not there; run `./darkroom migrate`") from error
        except Unavailable as error:
            raise LookupError(
                f"{where}: {error}; check its URL, its keys and their rights"
            ) from error
    if not same:
        raise LookupError(f"{where} gives back other bytes than were stored")
    return f"{where}, writable"


async def api(port: int) -> Check:
    status = await http_status(port, "/readyz")
    detail = f"/readyz on port {port} answers {status or 'nothing'}"
    return Check(name="api is ready", ok=status == 200, detail=detail)

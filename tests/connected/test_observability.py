"""One job's trace and numbers, from the wish to its last event, on a real MongoDB."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import cast
from uuid import uuid4

import pytest
from prometheus_client import REGISTRY
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from compose.embedded import ports
from schemas.events import COMMANDS
from schemas.jobs import Dialect, GenerationSpec, Job
from services.admission import Wish
from services.broker import Publisher
from services.dead_letters import Header
from services.errors import EngineDied, OutOfMemory
from services.mongo import Mongo, open_mongo
from services.settings import Settings
from services.signing import HEADER
from tests.conditions import until_answered
from tests.connected.process_parts import process_of
from tests.connected.queue_parts import SPEC, RememberingPublisher, own_database
from tests.connected.test_fulfilment import World
from tests.connected.test_intake import SIGNER, Door

pytestmark = pytest.mark.connected

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@dataclass
class Delivered:
    """A command of our own API, as intake has it from Kafka."""

    value: bytes | None
    headers: Sequence[Header]
    topic: str = "generation.commands"
    partition: int = 0
    offset: int = 0
    timestamp: int = 0
    key: bytes | None = None


@dataclass
class Path:
    """Admission, intake and fulfilment over one database."""

    door: Door
    world: World
    publisher: RememberingPublisher

    async def submit(self, spec: GenerationSpec = SPEC) -> Job:
        wish = Wish(spec=spec, dialect=Dialect.BLOG, traceparent=TRACE)
        (job,) = (await self.door.admission.submit("demo", [wish])).jobs
        return job

    async def take_in(self) -> None:
        value = self.publisher.sent[-1][2]
        signature: Header = (HEADER, SIGNER.sign(value).encode())
        await self.door.intake.take_in([Delivered(value, (signature,))])

    async def fulfil(self) -> None:
        lease = await self.world.queue.claim()
        assert lease is not None
        await self.world.fulfil(lease)


@pytest.fixture
async def path(migrated: Settings) -> AsyncIterator[Path]:
    async with own_database(migrated) as mongo:
        yield _path(migrated, mongo)


def _path(settings: Settings, mongo: Mongo) -> Path:
    publisher = RememberingPublisher()
    world = World(mongo)
    world.publisher.sent = publisher.sent  # one log for all
    return Path(Door(settings, mongo, cast(Publisher, publisher)), world, publisher)


async def test_a_trace_travels_from_the_wish_to_every_event_and_log_line(path: Path) -> None:
    job = await path.submit()
    command = COMMANDS.validate_json(path.publisher.sent[-1][2])
    await path.take_in()
    with capture_logs(processors=[merge_contextvars]) as lines:
        await path.fulfil()

    row = await path.world.row(job.run)
    assert (command.traceparent, row.traceparent) == (TRACE, TRACE)
    assert path.publisher.kinds(job.id) == ["accepted", "started", "completed"]
    assert {event.traceparent for event in path.publisher.events(job.id)} == {TRACE}
    told = [line for line in lines if line["event"] == "decided"]
    assert [(line["job_id"], line["run_id"], line["traceparent"]) for line in told] == [
        (str(job.id), str(job.run), TRACE)
    ]


async def test_a_cancel_carries_the_trace_of_its_job(path: Path) -> None:
    job = await path.submit()

    await path.door.admission.cancel(job, "why")

    command = COMMANDS.validate_json(path.publisher.sent[-1][2])
    assert command.traceparent == TRACE


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"darkroom_{name}", labels) or 0.0


async def test_a_run_s_numbers_are_counted_once(path: Path) -> None:
    names = {
        "jobs_accepted_total": {"dialect": "blog"},
        "outcomes_total": {"outcome": "completed", "reason": ""},
        "gpu_seconds_total": {"model": "tiny", "tier": "standard"},
        "pictures_total": {"model": "tiny", "tier": "standard"},
        "generation_seconds_count": {"model": "tiny", "tier": "standard"},
        "queue_wait_seconds_count": {"lane": "interactive"},
        "stage_seconds_count": {"stage": "denoising"},
    }
    before = {name: sample(name, **labels) for name, labels in names.items()}

    await path.submit()
    await path.take_in()
    await path.take_in()  # delivered again
    await path.fulfil()

    assert {name: sample(name, **names[name]) - before[name] for name in names} == dict.fromkeys(
        names, 1.0
    )


async def test_failures_are_counted_by_reason_and_dead_engines_apart(path: Path) -> None:
    labels = {"outcome": "failed", "reason": OutOfMemory.code}
    before = sample("outcomes_total", **labels), sample("engine_deaths_total")
    path.world.engine.error = OutOfMemory()
    await path.submit()
    await path.take_in()
    await path.fulfil()
    path.world.engine.error = EngineDied()
    await path.submit()
    await path.take_in()
    await path.fulfil()

    after = sample("outcomes_total", **labels), sample("engine_deaths_total")

    assert after == (before[0] + 1, before[1] + 1)


async def test_a_lease_that_ran_out_is_counted_by_the_sweep(path: Path) -> None:
    before = sample("queue_lease_expiries_total")
    await path.submit()
    await path.take_in()
    lease = await path.world.queue.claim()
    assert lease is not None
    await path.world.queue.abandon(lease)

    async with asyncio.timeout(10):
        while sample("queue_lease_expiries_total") == before:
            await path.door.intake._outcomes.sweep()

    assert sample("queue_lease_expiries_total") == before + 1


async def test_a_worker_serves_its_numbers_and_lives_where_their_port_is_taken(
    migrated: Settings,
) -> None:
    port = ports.draw(avoid=set())
    database = migrated.mongo.model_copy(update={"database": f"test_{uuid4().hex}"})
    own = migrated.model_copy(update={"mongo": database})

    async def told() -> bool:
        return b"darkroom_consumer_lag_records{" in await _numbers(port)

    given = {"DARKROOM_METRICS__PORT": str(port)}
    async with process_of("workers.outbox", own, **given):
        await until_answered(told, 30)
        async with process_of("workers.projector", own, **given) as second:
            await _until_it_stands(second, own)


async def _numbers(port: int) -> bytes:
    """Nothing while nobody listens."""
    try:
        reader, writer = await asyncio.open_connection(ports.HOST, port)
    except OSError:
        return b""
    writer.write(b"GET /metrics HTTP/1.0\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return answer


async def _until_it_stands(process: asyncio.subprocess.Process, settings: Settings) -> None:
    """It has stored offsets, which it does after it has tried to listen."""
    async with open_mongo(settings.mongo) as mongo:

        async def stored() -> bool:
            assert process.returncode is None
            return await mongo.offsets.count_documents({}) > 0

        await until_answered(stored, 30)

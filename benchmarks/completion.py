"""Submit to completed less the model's time: the running stack against a raw chain."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from time import perf_counter
from typing import Any, Final
from uuid import UUID, uuid4

from benchmarks.accepts import BODY, PATH
from benchmarks.chain_floor import producing, send
from benchmarks.children import running
from benchmarks.figures import Round, Row, excess_row
from benchmarks.http import HOST, Connection, get, post
from benchmarks.sandbox import Sandbox
from compose.errors import CommandFailed
from schemas.topics import GENERATION_COMMANDS
from schemas.wire.blog import (
    POLL_PATH,
    ImageGenerationJobResponse,
    ImageJobStatusResponse,
    Result,
)
from services.mongo import Mongo, open_mongo

ROUNDS: Final = 5
JOBS: Final = 100  #: a side, in rounds; fewer where time runs out
POLL: Final = 0.002  #: seconds between an answer and the next question
PATIENCE: Final = 30.0  #: seconds for one job
COMMAND_BYTES: Final = 900  #: about what a command of ours has
P50_AT_MOST: Final = 25.0  #: milliseconds above the floor

Once = Callable[[], Awaitable[float]]  #: one job from submit to completed, in milliseconds


class Ours:
    """One job after the other through the stack's own API, generator and projector."""

    def __init__(self, port: int, key: str) -> None:
        self._port = port
        self._key = key

    async def picture_bytes(self) -> int:
        """The size of what one job of ours stores."""
        async with Connection.open(self._port) as connection:
            ended = await self._ended(connection, await self._submit(connection))
            path = _result(ended).images[0].url.removeprefix(f"http://{HOST}")
            return len((await connection.ask(get(path, self._key))).body)

    async def once(self) -> float:
        """From before the POST to the poll that says completed, less `generation_seconds`."""
        async with Connection.open(self._port) as connection:
            began = perf_counter()
            ended = await self._ended(connection, await self._submit(connection))
            seconds = perf_counter() - began
        return (seconds - _result(ended).generation_time_seconds) * 1000

    async def _submit(self, connection: Connection) -> UUID:
        answer = await connection.ask(post(PATH, self._key, BODY.encode()))
        if answer.status != 202:
            raise CommandFailed(f"HTTP {answer.status}: {answer.body.decode()[:500]}")
        return ImageGenerationJobResponse.model_validate_json(answer.body).job_id

    async def _ended(self, connection: Connection, job: UUID) -> ImageJobStatusResponse:
        question = get(f"{POLL_PATH}{job}", self._key)
        async with asyncio.timeout(PATIENCE):
            while True:
                answer = await connection.ask(question)
                if b'"completed"' in answer.body or b'"failed"' in answer.body:
                    return ImageJobStatusResponse.model_validate_json(answer.body)
                await asyncio.sleep(POLL)


class Floor:
    def __init__(self, box: Sandbox, mongo: Mongo, producer: Any) -> None:  # noqa: ANN401
        self._box = box
        self._jobs = mongo.database["floor_jobs"]
        self._producer = producer

    async def once(self) -> float:
        job = uuid4()
        kafka = self._box.settings.kafka
        began = perf_counter()
        await send(self._producer, kafka, GENERATION_COMMANDS, job, b"x" * COMMAND_BYTES)
        async with asyncio.timeout(PATIENCE):
            while await self._jobs.find_one({"_id": job}) is None:  # noqa: ASYNC110
                await asyncio.sleep(POLL)
        return (perf_counter() - began) * 1000


async def measure(
    box: Sandbox, port: int, key: str, seconds: float, tick: Callable[[float], None]
) -> tuple[Row, Row]:
    """`port` and `key` are the running stack's own; rows of p50 and of p99."""
    async with AsyncExitStack() as stack:
        ours = Ours(port, key)
        size = await ours.picture_bytes()
        for role in (("work", str(size)), ("project",)):
            child = await stack.enter_async_context(
                running(box.module("benchmarks.chain_floor", *role))
            )
            await child.hear()
        mongo = await stack.enter_async_context(open_mongo(box.settings.mongo))
        producer = await stack.enter_async_context(producing(box.settings.kafka))
        floor = Floor(box, mongo, producer)
        await floor.once()
        rounds = await interleaved(ours.once, floor.once, seconds, tick)
    return (
        excess_row("overhead p50", "ms", rounds, 0.5, P50_AT_MOST),
        excess_row("overhead p99", "ms", rounds, 0.99),
    )


async def interleaved(
    ours: Once, floor: Once, seconds: float, tick: Callable[[float], None]
) -> list[Round]:
    """`ROUNDS` of each in turn; a round ends with its jobs or its share of the time."""
    each = seconds / ROUNDS
    rounds: list[Round] = []
    for number in range(ROUNDS):
        until = perf_counter() + each
        mine = await _samples(ours, until)
        tick((number + 0.7) / ROUNDS)
        rounds.append((mine, await _samples(floor, until, len(mine))))
        tick((number + 1) / ROUNDS)
    return rounds


async def _samples(once: Once, until: float, least: int = 1) -> list[float]:
    samples = [await once() for _ in range(least)]
    while len(samples) < JOBS // ROUNDS and perf_counter() < until:
        samples.append(await once())
    return samples


def _result(ended: ImageJobStatusResponse) -> Result:
    if ended.result is None:
        raise CommandFailed(f"job {ended.job_id} failed: {ended.error_message}")
    return ended.result

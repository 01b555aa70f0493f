"""A mixed run through the running stack -> how far its promises were from what came true."""

import asyncio
import json
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any, Final, NamedTuple

from benchmarks.accepts import PATH
from benchmarks.figures import Round, Row, error_row
from benchmarks.http import Answer, Connection, get, post
from compose.errors import CommandFailed
from schemas.common import now
from schemas.wire.blog import (
    POLL_PATH,
    ImageGenerationJobResponse,
    ImageJobStatusResponse,
)
from schemas.wire.blog_batches import BATCH_PATH, BatchImageGenerationResponse, BatchStatusResponse

BATCHES: Final = "/api/v1/images/batch-generate"
WAVES: Final = 4  #: of 50 jobs each
DRAFTED: Final = 10  #: images of a wave's first batch, each of them two jobs
PLAIN: Final = 15  #: of its second
SINGLE: Final = 15
PATIENCE: Final = 900.0  #: seconds for all of it
POLL: Final = 0.5
AT_MOST: Final = 30.0  #: percent
SIZES: Final = ((256, 256), (320, 256), (256, 384))
QUALITIES: Final = ("draft", "standard", "high")

Jobs = Sequence[ImageJobStatusResponse]


class Promise(NamedTuple):
    job: str
    seconds: float  #: from the submit to the picture


class Caller:
    """Whoever asks the stack; every job's `blog_id` is "bench"."""

    def __init__(self, connection: Connection, key: str) -> None:
        self._connection = connection
        self._key = key

    async def single(self, number: int) -> list[Promise]:
        answer = await self._connection.ask(post(PATH, self._key, _json(_image(number))))
        reply = ImageGenerationJobResponse.model_validate_json(_body(answer, 202))
        return [Promise(str(reply.job_id), reply.estimated_completion_time or 0.0)]

    async def batch(self, images: int, workflow: str) -> list[Promise]:
        """What is left of a promise right after it, and what has passed since."""
        wanted = {"images": [_image(number) for number in range(images)], "workflow": workflow}
        answer = await self._connection.ask(post(BATCHES, self._key, _json(wanted)))
        reply = BatchImageGenerationResponse.model_validate_json(_body(answer, 202))
        question = get(f"{BATCH_PATH}{reply.batch_id}", self._key)
        shown = BatchStatusResponse.model_validate_json(
            _body(await self._connection.ask(question), 200)
        )
        return [
            Promise(
                str(job.job_id),
                (job.estimated_time_remaining or 0.0) + (now() - job.created_at).total_seconds(),
            )
            for job in shown.jobs
        ]

    async def ended(self, promises: Sequence[Promise], tick: Callable[[float], None]) -> Jobs:
        """In their order; `CommandFailed` for one that failed."""
        ended: list[ImageJobStatusResponse] = []
        for promise in promises:
            question = get(f"{POLL_PATH}{promise.job}", self._key)
            while True:
                body = _body(await self._connection.ask(question), 200)
                job = ImageJobStatusResponse.model_validate_json(body)
                if job.status in ("completed", "failed"):
                    break
                await asyncio.sleep(POLL)
            if job.result is None:
                raise CommandFailed(f"job {promise.job} failed: {job.error_message}")
            ended.append(job)
            tick(len(ended) / len(promises))
        return ended


async def measure(port: int, key: str, tick: Callable[[float], None]) -> Row:
    """`port` and `key` are the running stack's own; 200 jobs in waves, after one of each kind."""
    async with Connection.open(port) as connection, asyncio.timeout(PATIENCE):
        caller = Caller(connection, key)
        known = [await caller.single(number) for number in range(len(SIZES) * len(QUALITIES))]
        await caller.ended([promise for each in known for promise in each], lambda _: None)
        waves = [await _wave(caller) for _ in range(WAVES)]
        jobs = await caller.ended([promise for wave in waves for promise in wave], tick)
    seconds = [_seconds(job) for job in jobs]
    guess = median(seconds)
    rounds: list[Round] = []
    for wave in waves:
        taken, seconds = seconds[: len(wave)], seconds[len(wave) :]
        ours = [missed(each.seconds, took) for each, took in zip(wave, taken, strict=True)]
        rounds.append((ours, [missed(guess, took) for took in taken]))
    return error_row("promises, median error", rounds, AT_MOST)


def missed(promised: float, took: float) -> float:
    """In percent of what it took."""
    return abs(promised - took) / took * 100


async def _wave(caller: Caller) -> list[Promise]:
    """Who asks for single pictures waits for them before asking for more."""
    batches = await caller.batch(DRAFTED, "draft_then_final")
    batches += await caller.batch(PLAIN, "standard")
    singles = [promise for number in range(SINGLE) for promise in await caller.single(number)]
    await caller.ended(singles, lambda _: None)
    return batches + singles


def _image(number: int) -> dict[str, Any]:
    width, height = SIZES[number % len(SIZES)]
    quality = QUALITIES[number // len(SIZES) % len(QUALITIES)]
    asked = {"prompt": "a red circle", "blog_id": "bench", "quality": quality}
    return {**asked, "width": width, "height": height}


def _json(wanted: dict[str, Any]) -> bytes:
    return json.dumps(wanted).encode()


def _body(answer: Answer, status: int) -> bytes:
    if answer.status != status:
        raise CommandFailed(f"HTTP {answer.status}: {answer.body.decode()[:500]}")
    return answer.body


def _seconds(job: ImageJobStatusResponse) -> float:
    assert job.completed_at is not None, "it has ended"
    return (job.completed_at - job.created_at).total_seconds()

"""A page of a library of 10^6 images against one of 10^3: both asked over HTTP, in turns."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from datetime import timedelta
from itertools import cycle, islice
from json import loads
from time import perf_counter
from typing import Final
from uuid import UUID, uuid4

from benchmarks.accepts import api_command
from benchmarks.children import running
from benchmarks.figures import Round, Row, ratio_row
from benchmarks.history import SHA
from benchmarks.http import Connection, get
from benchmarks.sandbox import Sandbox
from compose.embedded.ports import draw
from compose.errors import CommandFailed
from schemas.common import now
from schemas.images import ImageSource
from services.accounts import Keys
from services.mongo import Document, Mongo, open_mongo
from services.signing import Signer

MANY: Final = 1_000_000
FEW: Final = 1_000
AT_ONCE: Final = 5_000  #: documents in one insert
FILLING: Final = 0.7  #: of the bar: it takes longer than the measurement
ROUNDS: Final = 5
EACH: Final = 200  #: requests to each side in a round
AT_MOST: Final = 1.5
QUERIES: Final = ("limit=20", "limit=20&offset=100", "limit=20&source=uploaded", "limit=100")
UPLOADED: Final = 50  #: each fiftieth


async def measure(box: Sandbox, seconds: float, tick: Callable[[float], None]) -> Row:
    """As many rounds as fit in `seconds`, at least `ROUNDS`; filling the library comes on top."""
    port = draw(avoid=set())
    async with AsyncExitStack() as stack:
        mongo = await stack.enter_async_context(open_mongo(box.settings.mongo))
        await _fill(mongo, "few", FEW, lambda _: None)
        await _fill(mongo, "many", MANY, lambda done: tick(FILLING * done))
        keys = Keys(mongo, Signer(box.settings.master_secret.get_secret_value()))
        many, few = [
            (await keys.create(project, "bench", limit=None)).key for project in ("many", "few")
        ]
        api = await stack.enter_async_context(running(api_command(box, port)))
        await api.listening(port, "/readyz")
        connection = await stack.enter_async_context(Connection.open(port))
        await _check(connection, many, MANY)
        await _check(connection, few, FEW)
        rounds = await _rounds(connection, many, few, seconds, tick)
    return ratio_row("lists at 10⁶ images, p99", "ms", rounds, 0.99, AT_MOST)


async def _rounds(
    connection: Connection, many: str, few: str, seconds: float, tick: Callable[[float], None]
) -> list[Round]:
    rounds: list[Round] = []
    await _round(connection, many, few)  # warms both
    began = perf_counter()
    while len(rounds) < ROUNDS or perf_counter() - began < seconds:
        rounds.append(await _round(connection, many, few))
        done = min(len(rounds) / ROUNDS, (perf_counter() - began) / seconds)
        tick(FILLING + (1 - FILLING) * min(done, 1.0))
    return rounds


async def _round(connection: Connection, many: str, few: str) -> Round:
    taken: dict[str, list[float]] = {many: [], few: []}
    for query in islice(cycle(QUERIES), EACH):
        for key, milliseconds in taken.items():
            began = perf_counter()
            answer = await connection.ask(get(f"/api/v1/images?{query}", key))
            milliseconds.append((perf_counter() - began) * 1000)
            if answer.status != 200:
                raise CommandFailed(f"a list was refused: {answer.status}")
    return taken[many], taken[few]


async def _check(connection: Connection, key: str, number: int) -> None:
    """It is first counted here, which may take longer than a request's time."""
    for _ in range(60):
        answer = await connection.ask(get("/api/v1/images?limit=1", key))
        if answer.status == 200:
            break
        await asyncio.sleep(1)
    else:
        raise CommandFailed(f"a list of {number} images is never answered")
    total = loads(answer.body)["pagination"]["total"]
    if total != number:
        raise CommandFailed(f"a list counts {total} images where there are {number}")


async def _fill(mongo: Mongo, project: str, number: int, tick: Callable[[float], None]) -> None:
    images = _images(project, number)
    for done in range(0, number, AT_ONCE):
        await mongo.images.insert_many(list(islice(images, AT_ONCE)), ordered=False)
        tick(done / number)


def _images(project: str, number: int) -> Iterator[Document]:
    """Facts as the projector writes them, one a second up to a day ago."""
    newest = now() - timedelta(days=1)
    for place in range(number):
        image, uploaded = uuid4(), place % UPLOADED == 0
        yield {
            "_id": image,
            "project": project,
            "source": ImageSource.UPLOADED if uploaded else ImageSource.GENERATED,
            "picture": _picture(image),
            "created_at": newest - timedelta(seconds=number - place),
            **({} if uploaded else {"job_id": uuid4(), "run_id": uuid4(), "model": "tiny"}),
        }


def _picture(image: UUID) -> Document:
    place = {"image_id": image, "relative_path": f"generated/{image}.png", "sha256": SHA}
    return {**place, "width": 512, "height": 512, "bytes": 300_000, "mime_type": "image/png"}

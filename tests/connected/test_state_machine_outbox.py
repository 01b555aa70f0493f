"""Submits, retries, outages and deaths in any order: one job a key, and no command without one."""

from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, Final, cast
from uuid import UUID

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from schemas.common import now
from schemas.events import COMMANDS, GenerationRequested
from schemas.jobs import Dialect, GenerationSpec, Idempotency, Job
from services.admission import Admission, Wish
from services.broker import Publisher
from services.engine.catalogue import Catalogue
from services.errors import IdempotencyMismatch
from services.mongo import Mongo
from services.outbox import Outbox
from services.settings import ROOT, OutboxSettings, Settings
from services.signing import Signer
from tests.connected.crash_parts import Fuse, FusedMongo, FusedPublisher, lived
from tests.connected.queue_parts import RememberingPublisher, own_database

pytestmark = pytest.mark.connected

CATALOGUE: Final = Catalogue.load(ROOT / "models" / "models.yaml")
SIGNER: Final = Signer("a master secret of tests")
AT_ONCE: Final = OutboxSettings(after=timedelta())
PROMPTS: Final = ("a red circle", "a blue square")

key = st.integers(0, 1)
body = st.sampled_from([0, 0, 0, 1])
size = st.integers(1, 2)
#: After which write the process dies; most don't.
death = st.sampled_from([None, None, None, 1, 2, 3])
MOVES = st.one_of(
    st.tuples(st.just("submit"), key, body, size, death),
    st.tuples(st.just("submit"), key, body, size, death),
    st.tuples(st.just("broker away"), key, body, size, death),
    st.tuples(st.just("outbox"), key, body, size, death),
)
#: A caller that asks again after each death there is, then for something else.
AGAIN: Final = [("submit", 0, 0, 2, n) for n in (1, 2, 3, 4, None)] + [("submit", 0, 1, 2, None)]


class Machine:
    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self.publisher = RememberingPublisher()
        self.answers: dict[int, set[tuple[UUID, ...]]] = defaultdict(set)
        self.bodies: dict[int, set[tuple[int, int]]] = defaultdict(set)

    async def move(self, kind: str, key: int, body: int, size: int, dies_after: int | None) -> None:
        fuse = Fuse(nth=dies_after)
        publisher = FusedPublisher(cast(Publisher, self.publisher), fuse)
        admission = Admission(FusedMongo(self._mongo, fuse), publisher, SIGNER, CATALOGUE)
        self.publisher.outages = [TimeoutError()] if kind == "broker away" else []

        async def life() -> None:
            if kind == "outbox":
                await Outbox(self._mongo, admission, AT_ONCE).republish()
            else:
                await self._submit(admission, key, body, size)
            if admission.dispatch.marking is not None:
                await admission.dispatch.marking

        await lived(fuse, life())
        self.publisher.outages = []
        await self.check()

    async def _submit(self, admission: Admission, key: int, body: int, size: int) -> None:
        spec = GenerationSpec(prompt=PROMPTS[body], model="tiny")
        used = Idempotency(
            scope="demo::POST /generate",
            key=str(key),
            request_sha256=f"{body}{size}" * 32,
            expires_at=now() + timedelta(days=1),
        )
        wishes = [Wish(spec=spec, dialect=Dialect.BLOG)] * size
        try:
            admitted = await admission.submit("demo", wishes, idempotency=used)
        except IdempotencyMismatch:
            assert (body, size) not in self.bodies[key]
        else:
            self.answers[key].add(tuple(job.id for job in admitted.jobs))
            self.bodies[key].add((body, size))

    async def check(self) -> None:
        jobs = await self.jobs()
        firsts = [job for job in jobs.values() if job.idempotency is not None]
        assert len({job.idempotency.key for job in firsts if job.idempotency}) == len(firsts)
        for key, answers in self.answers.items():
            assert len(answers) == len(self.bodies[key]) == 1, "always the same answer"
            assert set(next(iter(answers))) <= set(jobs), "what was answered is there"
        told = {told.job_id for command in self.commands() for told in command.data.jobs}
        assert told <= set(jobs), "a document before its command"

    async def finish(self) -> None:
        """The broker is here, nobody dies: every job's command was taken, always the same bytes."""
        await self.move("outbox", 0, 0, 1, None)
        jobs = await self.jobs()
        assert all(job.published for job in jobs.values())
        bytes_of: dict[UUID, set[bytes]] = defaultdict(set)
        for _, _, value in self.publisher.sent:
            command = COMMANDS.validate_json(value)
            assert isinstance(command, GenerationRequested)
            for told in command.data.jobs:
                assert told.job_id is not None
                bytes_of[told.job_id].add(value)
        assert set(bytes_of) == set(jobs)
        assert all(len(values) == 1 for values in bytes_of.values())

    def commands(self) -> list[GenerationRequested]:
        commands = [COMMANDS.validate_json(value) for _, _, value in self.publisher.sent]
        return [command for command in commands if isinstance(command, GenerationRequested)]

    async def jobs(self) -> dict[UUID, Job]:
        found = [Job.model_validate(job) async for job in self._mongo.jobs.find()]
        return {job.id: job for job in found}


@pytest.fixture(scope="module")
async def mongo(stack: Settings) -> AsyncIterator[Mongo]:
    async with own_database(stack) as mongo:
        yield mongo


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@example(moves=AGAIN)
@given(moves=st.lists(MOVES, min_size=2, max_size=8))
async def test_in_any_order_each_key_makes_one_job_that_arrives(
    mongo: Mongo, moves: list[tuple[Any, ...]]
) -> None:
    await mongo.jobs.delete_many({})
    machine = Machine(mongo)
    for move in moves:
        await machine.move(*move)
    await machine.finish()

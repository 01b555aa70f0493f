"""Jobs in -> their signed commands on Kafka; what the broker refuses now, the outbox sends."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog

from schemas.cloudevents import event_id, schema_path
from schemas.events import (
    CancelRequestedData,
    GenerationCancelRequested,
    GenerationRequested,
    RequestedData,
)
from schemas.jobs import Job, RequestedJob
from schemas.topics import GENERATION_COMMANDS
from services.broker import BROKER_OUTAGES, Publisher
from services.mongo import OUTAGES, Mongo
from services.signing import HEADER, Signer

log = structlog.get_logger()

PUBLISH_WITHIN: Final = timedelta(seconds=2)  #: then the outbox does it; nobody waits longer


class Dispatch:
    def __init__(self, mongo: Mongo, publisher: Publisher, signer: Signer) -> None:
        self._jobs = mongo.jobs
        self._publisher = publisher
        self._signer = signer
        self._acknowledged: dict[UUID, UUID] = {}  # run -> job: a retry has another run to send
        self.marking: asyncio.Task[None] | None = None

    async def publish(self, jobs: Sequence[Job]) -> None:
        """Publish the one command of `jobs`; a broker that is away delays it, never the caller."""
        await self.publish_encoded(jobs, command_of(jobs).encode())

    async def publish_encoded(self, jobs: Sequence[Job], command: bytes) -> None:
        try:
            await self._send(jobs[0].id, command)
        except BROKER_OUTAGES as error:
            log.warning("publish_delayed", job_id=str(jobs[0].id), error=type(error).__name__)
            return
        self._acknowledged.update({job.run: job.id for job in jobs})
        if self.marking is None or self.marking.done():
            self.marking = asyncio.create_task(self._mark_published())

    async def cancel(self, job: Job, reason: str) -> None:
        """Ask for the current run's end; the worker that holds it decides.

        Raise one of `BROKER_OUTAGES` when the broker has not taken it in time.
        """
        kind = GenerationCancelRequested.model_fields["type"].default
        command = GenerationCancelRequested(
            id=event_id(job.run, kind),
            source="/api",
            subject=str(job.id),
            dataschema=schema_path(kind),
            projectid=job.project,
            traceparent=job.traceparent,
            data=CancelRequestedData(job_id=job.id, run_id=job.run, reason=reason),
        )
        await self._send(job.id, command.encode())

    async def _send(self, key: UUID, command: bytes) -> None:
        headers = ((HEADER, self._signer.sign(command).encode()),)
        async with asyncio.timeout(PUBLISH_WITHIN.total_seconds()):
            await self._publisher.publish(GENERATION_COMMANDS, str(key), command, headers)

    async def _mark_published(self) -> None:
        """Many at a time and after the reply: a crash before it only sends a command twice."""
        while self._acknowledged:
            await asyncio.sleep(0.1)
            batch, self._acknowledged = self._acknowledged, {}
            sent = {"_id": {"$in": list(batch.values())}, "run": {"$in": list(batch)}}
            try:
                await self._jobs.update_many(sent, {"$set": {"published": True}})
            except OUTAGES as error:  # the outbox sends them again
                log.warning("marking_failed", jobs=len(batch), error=type(error).__name__)


def command_of(jobs: Sequence[Job]) -> GenerationRequested:
    """The command of `jobs`; made again from the same documents it is the same command."""
    kind = GenerationRequested.model_fields["type"].default
    return GenerationRequested(
        id=event_id(jobs[0].run, kind),
        source="/api",
        subject=str(jobs[0].id),
        time=jobs[0].requested_at,
        dataschema=schema_path(kind),
        projectid=jobs[0].project,
        traceparent=jobs[0].traceparent,
        data=RequestedData(jobs=tuple(_requested(job) for job in jobs)),
    )


def _requested(job: Job) -> RequestedJob:
    return RequestedJob(
        **dict(job.spec),
        job_id=job.id,
        run_id=job.run,
        run_number=job.run_number,
        flow_id=job.flow_id,
        alias=job.alias,
        flow_alias=job.flow_alias,
        after=job.after,
        lane=job.lane,
        dialect=job.dialect,
        meta=job.meta,
    )

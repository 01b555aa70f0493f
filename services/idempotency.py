"""An Idempotency-Key that was used before -> the answer of then; kept for 24 hours."""

from schemas.common import now
from schemas.jobs import Idempotency, Job
from services.dispatch import Dispatch
from services.errors import IdempotencyMismatch
from services.mongo import Mongo


class Replays:
    def __init__(self, mongo: Mongo, dispatch: Dispatch) -> None:
        self._jobs = mongo.jobs
        self._dispatch = dispatch

    async def of(self, idempotency: Idempotency) -> tuple[Job, ...] | None:
        """The jobs of the first submit; None when the key is free: unused, or its day is over.

        Raises `IdempotencyMismatch` when it was used for another request.
        """
        used = {"idempotency.scope": idempotency.scope, "idempotency.key": idempotency.key}
        document = await self._jobs.find_one(used)
        if document is None:
            return None
        first = Job.model_validate(document)
        assert first.idempotency is not None
        if first.idempotency.expires_at <= now():
            expired = {"_id": first.id, **used}
            await self._jobs.update_one(expired, {"$unset": {"idempotency": ""}})
            return None
        if first.idempotency.request_sha256 != idempotency.request_sha256:
            raise IdempotencyMismatch
        jobs = [first]
        if first.batch_id is not None:
            cursor = self._jobs.find({"batch_id": first.batch_id}).sort("_id", 1)
            jobs = [Job.model_validate(found) async for found in cursor]
        if not all(job.published for job in jobs):
            await self._dispatch.publish(jobs)
        return tuple(jobs)

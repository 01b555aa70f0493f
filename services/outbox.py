"""Jobs whose command the broker has not acknowledged -> published again until it has."""

from schemas.jobs import Job
from services import metrics
from services.admission import Admission
from services.mongo import Mongo
from services.settings import OutboxSettings

BATCH = 100  #: commands a round


class Outbox:
    """Intake is idempotent, so a command that did arrive does no harm when it is sent again."""

    def __init__(self, mongo: Mongo, admission: Admission, settings: OutboxSettings) -> None:
        self._jobs = mongo.jobs
        self._admission = admission
        self._settings = settings

    async def republish(self) -> None:
        """One command a batch, as at first; the oldest come first."""
        after_ms = int(self._settings.after.total_seconds() * 1000)
        late = {"$lt": ["$created_at", {"$subtract": ["$$NOW", after_ms]}]}
        cursor = self._jobs.find({"published": False, "$expr": late}).sort(
            [("created_at", 1), ("_id", 1)]
        )
        jobs = [Job.model_validate(found) async for found in cursor.limit(BATCH)]
        batches: dict[object, list[Job]] = {}
        for job in jobs:
            together = job.batch_id if job.run_number == 1 else None
            batches.setdefault(together or job.id, []).append(job)
        for batch in batches.values():
            await self._admission.publish(batch)
            metrics.REPUBLISHED.inc()

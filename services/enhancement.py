"""A run that asks for it -> the prompt that its model gets: written once, the same ever after.

It lives in the job's document under `enhanced`, which nobody else writes, so that every attempt
of the run, whoever makes it, paints the same text; events hold no text.
"""

from functools import partial
from uuid import UUID

import structlog

from schemas.queue import QueueRow
from services import metrics
from services.engine.catalogue import Catalogue
from services.engine.expansion import Enhancement
from services.errors import EnhancementFailed
from services.language_model import LanguageModel
from services.mongo import Mongo
from services.redelivery import waited_out

log = structlog.get_logger()


class Enhancements:
    def __init__(
        self, mongo: Mongo, catalogue: Catalogue, language_model: LanguageModel | None
    ) -> None:
        self._jobs = mongo.jobs
        self._catalogue = catalogue
        self._language_model = language_model

    @property
    def slow(self) -> bool:
        """Whether somebody else is asked, for so long that the engine should not wait."""
        return self._language_model is not None

    async def prompt_of(self, row: QueueRow) -> str:
        """What the run's first attempt has written, or else what this one writes now."""
        assert row.spec is not None, "an undecided row has its spec"
        kept = await waited_out(lambda: self._kept(row.job, row.id), "mongo")
        if kept is not None:
            return kept
        text = await self._written(row.spec.prompt, row.spec.model)
        return await waited_out(partial(self._keep, row.job, row.id, text), "mongo")

    async def _written(self, prompt: str, model: str) -> str:
        """A failure is told and counted, and ends nothing: then the catalogue's rules do it."""
        enhancement = self._catalogue.find(model).enhancement or Enhancement()
        if self._language_model is not None:
            try:
                better = await self._language_model.improved(prompt, enhancement.advice)
            except EnhancementFailed as error:
                metrics.ENHANCEMENT_FAILURES.labels(error.message).inc()
                log.warning("enhancement_failed", reason=error.message)
            else:
                metrics.ENHANCEMENTS.labels("language_model").inc()
                return better
        metrics.ENHANCEMENTS.labels("rules").inc()
        return enhancement.expanded(prompt)

    async def _kept(self, job: UUID, run: UUID) -> str | None:
        found = await self._jobs.find_one({"_id": job}, {f"enhanced.{run}": 1})
        kept: str | None = (found or {}).get("enhanced", {}).get(str(run))
        return kept

    async def _keep(self, job: UUID, run: UUID, text: str) -> str:
        """The first wins: two attempts may be at it, if one has lost its lease unknowingly."""
        name = f"enhanced.{run}"
        first = {"_id": job, name: {"$exists": False}}
        if (await self._jobs.update_one(first, {"$set": {name: text}})).matched_count:
            return text
        return await self._kept(job, run) or text  # a purged job keeps nothing

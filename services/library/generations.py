"""A project's jobs as its library shows them: one by its id, or a page of a list."""

from typing import Final
from uuid import UUID

from schemas.common import Value
from schemas.jobs import Job, Status
from services.errors import GenerationNotFound
from services.library.pages import EVER, NEWEST, Membership, Page
from services.library.totals import Part, Totals
from services.mongo import Document, Mongo, Session

SHOWN: Final[Document] = {"deleted_at": None}
#: A retry moved the job on to a run of which nothing is folded yet: it is pending, while
#: `state.status` is still that of the run before.
UNSEEN: Final[Document] = {"moved_on": True, "$expr": {"$ne": ["$run", "$state.run"]}}
SEEN: Final[Document] = {"$or": [{"moved_on": None}, {"$expr": {"$eq": ["$run", "$state.run"]}}]}

ALL: Final = "project_1_created_at_-1__id_-1"
BY_STATUS: Final = "project_1_state.status_1_created_at_-1__id_-1"


class GenerationFilter(Value):
    """Which jobs a list shows, by the state of their current run; None means all."""

    flow_id: UUID | None = None
    statuses: tuple[Status, ...] | None = None
    include_deleted: bool = False


class Generations:
    """Reads, but for the mark of retries."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._jobs = mongo.jobs
        self._flows = Membership(mongo)
        self._totals = Totals(mongo)

    async def get(
        self,
        project: str,
        job: UUID,
        *,
        include_deleted: bool = False,
        session: Session | None = None,
    ) -> Job:
        """Raise `GenerationNotFound`."""
        shown = {} if include_deleted else SHOWN
        wanted = {"_id": job, "project": project, **shown}
        document = await self._jobs.find_one(wanted, session=session)
        if document is None:
            raise GenerationNotFound
        (found,) = await self._flows.shown(project, [Job.model_validate(document)], session)
        return found

    async def page(
        self, project: str, chosen: GenerationFilter, limit: int, offset: int
    ) -> Page[Job]:
        """Newest first; a flow that isn't there has none."""
        async with self._mongo.snapshot() as session:
            scope = await self._flows.scope(project, chosen.flow_id, session)
            if scope is None:
                return Page(items=(), total=0)
            found = self._jobs.find(_wanted(scope, chosen), session=session).sort(NEWEST)
            if index := _index(chosen):
                found = found.hint(index)
            documents = await found.skip(offset).limit(limit).to_list(None)
            jobs = [Job.model_validate(document) for document in documents]
            shown = await self._flows.shown(project, jobs, session)
            name = f"generations {chosen.model_dump_json(exclude_none=True)}"
            total = await self._totals.count(session, project, name, self._parts(scope, chosen))
            return Page(items=shown, total=total)

    async def see_retries(self) -> None:
        """Clear the mark of those whose new run is folded: from now on `state` tells of it."""
        seen = {"moved_on": True, "$expr": {"$eq": ["$run", "$state.run"]}}
        await self._jobs.update_many(seen, {"$unset": {"moved_on": ""}})

    def _parts(self, scope: Document, chosen: GenerationFilter) -> list[Part]:
        if chosen.statuses is None:
            parts = [Part(self._jobs, scope, "created_at")]
            if not chosen.include_deleted:
                parts.append(Part(self._jobs, scope, "deleted_at", -1))
            return parts
        shown = {} if chosen.include_deleted else SHOWN
        of_these = {**scope, "state.status": {"$in": chosen.statuses}}
        parts = [
            Part(
                self._jobs,
                {**scope, "state.status": status},
                "state.ended_at" if status.terminal else None,
            )
            for status in chosen.statuses
        ]
        parts.append(Part(self._jobs, {**of_these, **shown, **UNSEEN}, sign=-1))
        if not chosen.include_deleted:
            parts.append(Part(self._jobs, {**of_these, "deleted_at": EVER}, sign=-1))
        if Status.PENDING in chosen.statuses:
            parts.append(Part(self._jobs, {**scope, **shown, **UNSEEN}))
        return parts


def _index(chosen: GenerationFilter) -> str | None:
    """By name, since the planner would go through those that are deleted; pending ones are found
    in two places, whose indexes it merges."""
    if chosen.flow_id is not None:
        return "in_flow"
    if chosen.statuses is None:
        return ALL if chosen.include_deleted else "shown"
    if Status.PENDING in chosen.statuses:
        return None
    return BY_STATUS if chosen.include_deleted else "shown_by_status"


def _wanted(scope: Document, chosen: GenerationFilter) -> Document:
    shown = scope if chosen.include_deleted else {**scope, **SHOWN}
    if chosen.statuses is None:
        return shown
    told = {**shown, "state.status": {"$in": chosen.statuses}, **SEEN}
    if Status.PENDING not in chosen.statuses:
        return told
    return {"$or": [told, {**shown, **UNSEEN}]}

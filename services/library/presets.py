"""A project's presets and those of all: every version is kept, the newest is current."""

from collections.abc import Collection, Sequence
from typing import Final
from uuid import UUID

from pymongo.errors import DuplicateKeyError

from schemas.common import Value, now
from schemas.library_events import PresetDeleted, PresetSaved
from schemas.presets import Preset
from services.errors import ImageNotFound, InvalidRequest, NotFound
from services.library.feed import Feed, change
from services.library.images import Images
from services.library.leads import KEPT
from services.mongo import Document, Mongo, Session

MISSING: Final = "Preset not found"


class Saved(Value):
    preset: Preset
    created: bool  #: the project had none of its slug


class Presets:
    """A project's own preset hides the seeded one of its slug."""

    def __init__(self, mongo: Mongo, feed: Feed) -> None:
        self._mongo = mongo
        self._feed = feed
        self._images = Images(mongo)

    async def ls(self, project: str) -> tuple[Preset, ...]:
        """By slug."""
        found = self._mongo.presets.find(_seen_by(project)).sort([("slug", 1), ("project", 1)])
        presets = [Preset.model_validate(document) async for document in found]
        return tuple({preset.slug: preset for preset in presets}.values())  # null comes first

    async def get(self, project: str, slug: str, version: int | None = None) -> Preset:
        """The current one, or an earlier version, of a deleted one too. Raise `NotFound`."""
        wanted = {**_seen_by(project), "slug": slug}
        collection = self._mongo.presets
        if version is not None:
            collection, wanted["version"] = self._mongo.preset_versions, version
        document = await collection.find_one(wanted, sort=[("project", -1)])
        if document is None:
            raise NotFound(MISSING)
        return Preset.model_validate(document)

    async def save(self, project: str, preset: Preset) -> Saved:
        """As its next version; one that says the same as the current one is that one.

        Raise `InvalidRequest` for a cover that the project doesn't have.
        """

        async def work(session: Session) -> Saved:
            mine = {"project": project, "slug": preset.slug}
            document = await self._mongo.presets.find_one(mine, session=session)
            current = Preset.model_validate(document) if document else None
            if current and current.says_the_same(preset):
                return Saved(preset=current, created=False)
            await self._check_cover(session, project, preset)
            fresh = preset.model_copy(update={"project": project})
            known = {**_seen_by(project), "slug": preset.slug}
            stored = await put(self._mongo, session, fresh, known)
            told = change(PresetSaved, preset.slug, slug=stored.slug, version=stored.version)
            await self._feed.record(session, project, told)
            return Saved(preset=stored, created=current is None)

        while True:
            try:
                return await self._feed.transaction(project, work)
            except DuplicateKeyError:  # another process has just saved the same slug
                continue

    async def delete(self, project: str, slug: str) -> Preset:
        """The project's own; its versions stay. Raise `NotFound`, or `InvalidRequest`: seeded."""

        async def work(session: Session) -> Preset:
            mine = {"project": project, "slug": slug}
            document = await self._mongo.presets.find_one_and_delete(mine, session=session)
            if document is None:
                seeded = await self._mongo.presets.find_one({**mine, "project": None}, {"_id": 1})
                raise InvalidRequest(f"{slug} belongs to all") if seeded else NotFound(MISSING)
            deleted = Preset.model_validate(document)
            told = change(PresetDeleted, slug, slug=slug, version=deleted.version)
            await self._feed.record(session, project, told)
            return deleted

        return await self._feed.transaction(project, work)

    async def covers(self, project: str, presets: Sequence[Preset]) -> Collection[UUID]:
        """Those covers of `presets` that are there."""
        named = [preset.cover_image_id for preset in presets if preset.cover_image_id]
        if not named:
            return ()
        wanted = {"_id": {"$in": named}, "project": project, **KEPT}
        return {image["_id"] async for image in self._mongo.images.find(wanted, {"_id": 1})}

    async def _check_cover(self, session: Session, project: str, preset: Preset) -> None:
        if preset.cover_image_id is None:
            return
        try:
            await self._images.get(project, preset.cover_image_id, session=session)
        except ImageNotFound as error:
            raise InvalidRequest(error.message, "/cover_image_id") from error


async def put(mongo: Mongo, session: Session, preset: Preset, known: Document) -> Preset:
    """In the caller's transaction, with a number above those of all versions that are `known`."""
    newest = await mongo.preset_versions.find_one(
        known, {"version": 1}, sort=[("version", -1)], session=session
    )
    version = newest["version"] + 1 if newest else 1
    stored = preset.model_copy(update={"version": version, "updated_at": now()})
    of_slug = {"project": stored.project, "slug": stored.slug}
    document = stored.model_dump()
    await mongo.presets.replace_one(of_slug, document, upsert=True, session=session)
    await mongo.preset_versions.insert_one(document, session=session)
    return stored


def _seen_by(project: str) -> Document:
    return {"project": {"$in": [project, None]}}

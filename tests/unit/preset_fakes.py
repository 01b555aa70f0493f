"""Fakes of what the presets dialect stands on, beside those of the whole API."""

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import SimpleNamespace
from typing import cast
from uuid import UUID

from starlette.applications import Starlette

from api.state import State
from schemas.jobs import Job
from schemas.presets import Preset
from services.admission import Wish
from services.errors import InvalidRequest, NotFound
from services.library.presets import Saved
from services.library.seeded import SEEDED
from tests.unit.api_fakes import FakeJobs, Parts


class FakePresets:
    """Of one project; a version is a place in its slug's list, the newest last."""

    def __init__(self) -> None:
        self.versions = {preset.slug: [preset] for preset in SEEDED}
        self.images: set[UUID] = set()

    async def ls(self, project: str) -> tuple[Preset, ...]:
        return tuple(self.versions[slug][-1] for slug in sorted(self.versions))

    async def get(self, project: str, slug: str, version: int | None = None) -> Preset:
        found = self.versions.get(slug, [])
        chosen = found[-1:] if version is None else found[version - 1 : version]
        if not chosen:
            raise NotFound("Preset not found")
        return chosen[0]

    async def save(self, project: str, preset: Preset) -> Saved:
        known = self.versions.setdefault(preset.slug, [])
        stored = preset.model_copy(update={"project": project, "version": len(known) + 1})
        known.append(stored)
        return Saved(preset=stored, created=not any(each.project for each in known[:-1]))

    async def delete(self, project: str, slug: str) -> Preset:
        preset = await self.get(project, slug)
        if preset.project is None:
            raise InvalidRequest(f"{slug} belongs to all")
        return self.versions.pop(slug)[-1]

    async def covers(self, project: str, presets: Sequence[Preset]) -> Collection[UUID]:
        return self.images


class JobsOfTheirDialect(FakeJobs):
    def _admitted(self, project: str, wish: Wish) -> Job:
        job = super()._admitted(project, wish)
        return job.model_copy(update={"dialect": wish.dialect, "meta": wish.meta})


class PresetParts(Parts):
    def __init__(self, **api: object) -> None:
        super().__init__(**api)
        self.jobs = JobsOfTheirDialect()
        self.presets = FakePresets()

    def _lifespan(self) -> Callable[[Starlette], AbstractAsyncContextManager[State]]:
        every = super()._lifespan()

        @asynccontextmanager
        async def lifespan(app: Starlette) -> AsyncIterator[State]:
            async with every(app) as state:
                library = SimpleNamespace(presets=self.presets)
                yield cast(State, {**state, "library": library})

        return lifespan

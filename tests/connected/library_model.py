"""A library in memory: what every command must do, said without a database, an order or a crash.

It is copied before each command; what a process died in is either the copy or the original.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from schemas.images import Image, ImageSource
from schemas.jobs import Job, Status

T = TypeVar("T", "Picture", "Generation")

TECHNICAL = ("@last", "@first", "@upload")


@dataclass
class Picture:
    id: UUID
    created_at: datetime
    source: ImageSource
    flow: UUID | None
    job: UUID | None
    deleted: bool = False


@dataclass
class Generation:
    id: UUID
    created_at: datetime
    flow: UUID | None
    runs: list[UUID]
    told: dict[UUID, Status] = field(default_factory=dict)  #: of runs whose end was folded
    made: dict[UUID, UUID] = field(default_factory=dict)  #: run -> its picture
    deleted: bool = False

    @property
    def status(self) -> Status:
        return self.told.get(self.runs[-1], Status.PENDING)

    @property
    def first_picture(self) -> UUID | None:
        made = [self.made[run] for run in self.runs if run in self.made]
        return made[-1] if made else None


@dataclass
class Held:
    image: UUID | None
    job: UUID | None = None


Name = tuple[UUID | None, str]  #: of a flow, or of the project


@dataclass
class Model:
    flows: dict[UUID, datetime] = field(default_factory=dict)
    pictures: dict[UUID, Picture] = field(default_factory=dict)
    purged: set[UUID] = field(default_factory=set)
    jobs: dict[UUID, Generation] = field(default_factory=dict)
    names: dict[Name, Held] = field(default_factory=dict)
    purged_jobs: set[UUID] = field(default_factory=set)
    ending: set[UUID] = field(default_factory=set)  #: deleted while their run went on

    def upload(self, image: Image) -> None:
        self._add(image.id, image.created_at, ImageSource.UPLOADED, image.flow_id)

    def submit(self, job: Job, name: str | None, in_flow: str | None) -> None:
        made = Generation(job.id, job.created_at, job.flow_id, [job.run])
        self.jobs[job.id] = made
        if job.flow_id is not None:
            self.flows.setdefault(job.flow_id, job.created_at)
        if name is not None:
            self.names[None, name] = Held(None, job.id)
        if in_flow is not None:
            earlier, _ = self.lead((job.flow_id, in_flow))
            self.names[job.flow_id, in_flow] = Held(earlier, job.id)

    def fold(
        self, job: UUID, run: UUID, status: Status, picture: UUID | None, at: datetime
    ) -> None:
        found = self.jobs.get(job)
        if found is None or run in found.told:
            return
        found.told[run] = status
        if picture is not None:
            found.made[run] = picture
            if picture not in self.purged:
                self._add(picture, at, ImageSource.GENERATED, found.flow, job)

    def taken(self, name: str, image: UUID | None = None) -> bool:
        """Whether a project's name leads elsewhere than to `image`."""
        leads_to, job = self.lead((None, name))
        return job is not None or leads_to not in (None, image)

    def assign(self, image: UUID, name: str) -> None:
        self.unname_image(image, but=name)
        self.names[None, name] = Held(image)

    def unname_image(self, image: UUID, but: str | None = None) -> None:
        for flow, name in list(self.names):
            if flow is None and name != but and self.lead((flow, name)) == (image, None):
                del self.names[flow, name]

    def delete_picture(self, image: UUID) -> None:
        self.pictures[image].deleted = True
        self._release([image])

    def delete_job(self, job: UUID) -> None:
        found = self.jobs[job]
        found.deleted = True
        if not found.status.terminal:
            self.ending.add(job)
        shown = [each.id for each in self.pictures.values() if each.job == job and not each.deleted]
        for image in shown:
            self.pictures[image].deleted = True
        self._release(shown, job)

    def sweep(self) -> None:
        """What deleted jobs have made after all is hidden, too."""
        for job in list(self.ending):
            if job not in self.jobs or self.jobs[job].status.terminal:
                self.ending.discard(job)
                late = [p.id for p in self.pictures.values() if p.job == job and not p.deleted]
                for image in late:
                    self.pictures[image].deleted = True
                self._release(late)

    def purge_picture(self, image: UUID) -> None:
        self._release([image])
        self._bury([image])

    def purge_job(self, job: UUID) -> None:
        images = [each.id for each in self.pictures.values() if each.job == job]
        self._release(images, job)
        self._bury([*images, *self.jobs[job].made.values()])
        del self.jobs[job]
        self.purged_jobs.add(job)
        self.ending.discard(job)

    def delete_flow(self, flow: UUID) -> None:
        del self.flows[flow]
        self.names = {name: held for name, held in self.names.items() if name[0] != flow}

    def lead(self, name: Name) -> tuple[UUID | None, UUID | None]:
        """The picture it leads to, or the job that is to make it."""
        held = self.names.get(name)
        if held is None:
            return None, None
        job = self._living(held.job)
        image = (job.first_picture if job else None) or held.image
        if image in self.pictures and not self.pictures[image].deleted:
            return image, None
        return None, job.id if job and not job.status.terminal else None

    def resolve(self, name: str, flow: UUID | None) -> tuple[UUID | None, UUID | None]:
        if name in TECHNICAL:
            source = ImageSource.UPLOADED if name == "@upload" else ImageSource.GENERATED
            found = newest(
                p for p in self.pictures.values() if p.source is source and not p.deleted
            )
            ordered = found[::-1] if name == "@first" else found
            return (ordered[0].id if ordered else None), None
        first = self.lead((flow, name)) if flow else (None, None)
        return first if any(first) else self.lead((None, name))

    def _living(self, job: UUID | None) -> Generation | None:
        found = self.jobs.get(job) if job else None
        return None if found is None or found.deleted else found

    def _release(self, images: list[UUID], job: UUID | None = None) -> None:
        for name, held in list(self.names.items()):
            maker = self._living(held.job)
            shown = (maker.first_picture if maker else None) or held.image
            ended = maker is None or maker.status.terminal
            if (held.job == job and job is not None) or (shown in images and ended):
                del self.names[name]
            elif held.image in images:
                held.image = None

    def _bury(self, images: Iterable[UUID]) -> None:
        for image in images:
            self.purged.add(image)
            self.pictures.pop(image, None)

    def _add(
        self,
        image: UUID,
        at: datetime,
        source: ImageSource,
        flow: UUID | None,
        job: UUID | None = None,
    ) -> None:
        self.pictures[image] = Picture(image, at, source, flow, job)


def newest(items: Iterable[T]) -> list[T]:
    return sorted(items, key=lambda item: (item.created_at, item.id.bytes), reverse=True)

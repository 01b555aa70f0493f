"""Commands of a library in any order, with deaths of api, outbox and projector: as in memory."""

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterator
from copy import deepcopy
from itertools import product
from typing import Any, Final, NamedTuple, cast
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from schemas.events import GenerationCompleted
from schemas.images import Image, ImageSource
from schemas.jobs import Job, JobState, Status
from services.errors import DarkroomError
from services.library.feed import Feed
from services.library.generations import GenerationFilter
from services.library.images import ImageFilter
from services.library.marks import MarkChanges
from services.library.uploads import Belongings
from services.library.whole import Library
from services.mongo import Document, Mongo
from services.object_store import S3ObjectStore
from services.projection import fold, images_of, milliseconds
from services.reruns import Changes
from services.settings import Settings
from tests.connected.library_model import TECHNICAL, Held, Model, newest
from tests.connected.library_parts import library_database, wish
from tests.connected.library_story import Story, read_story
from tests.connected.library_world import FILE, Process, World

pytestmark = pytest.mark.connected

NAMES: Final = ("@a", "@b")
Seen = dict[object, Any]
SOURCES: Final = (None, *ImageSource)
NOWHERE: Final = cast(S3ObjectStore, None)
STATES: Final = (
    None,
    (Status.PENDING,),
    (Status.SUCCEEDED,),
    (Status.FAILED, Status.CANCELLED),
)
number = st.integers(0, 5)
#: After which write the process dies; most don't.
death = st.sampled_from([None, None, None, 1, 2, 3, 4, 5])
KINDS: Final = (
    *("create flow", "upload", "submit", "submit", "work", "work", "project", "project"),
    *("name", "unname", "name in flow", "unname in flow", "retry", "outbox"),
    *("delete image", "purge image", "delete job", "purge job", "delete flow"),
)
MOVES = st.tuples(st.sampled_from(KINDS), number, number, death)
#: Programs that chance finds seldom: late pictures of what was deleted and purged, a name that a
#: retry passes on, and a death in each write of what takes several.
PROGRAMS: Final = (
    [  # the cancel is lost, so that a picture comes after all
        *[("submit", 0, 1, None), ("delete job", 0, 0, 6), ("work", 0, 1, None)],
        *[("project", 0, 0, None), ("outbox", 0, 0, None)],
    ],
    [
        *[("submit", 0, 1, None), ("purge job", 0, 0, 8), ("work", 0, 1, None)],
        *[("project", 0, 0, None), ("upload", 0, 0, None), ("purge image", 0, 0, None)],
    ],
    [
        *[("submit", 1, 1, None), ("work", 0, 1, None), ("project", 0, 0, 1), ("retry", 0, 0, 2)],
        *[("retry", 0, 0, None), ("outbox", 0, 0, None), ("work", 0, 1, None)],
        *[("delete flow", 0, 0, None), ("project", 0, 0, None), ("unname", 1, 0, None)],
    ],
    [
        *[("create flow", 0, 0, 2), ("upload", 0, 1, 4), ("upload", 0, 0, None), ("name", 0, 0, 2)],
        *[("create flow", 0, 0, None), ("name in flow", 0, 0, None), ("name", 0, 0, None)],
        *[("purge image", 0, 0, 4), ("delete image", 0, 0, None), ("outbox", 0, 0, 2)],
    ],
)


class Prepared(NamedTuple):
    """A command, and what it must be refused with."""

    do: Callable[[Process], Coroutine[Any, Any, object]]
    refusal: str | None = None


class Machine:
    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self.project = f"test-{uuid4()}"
        self.world = World(mongo)
        self.model = Model()
        self.flows_ever: list[UUID] = []
        self._folded = 0

    async def move(self, kind: str, a: int, b: int, dies_after: int | None) -> None:
        if kind == "work":
            await self.world.work(a, "fail" if b == 0 else "complete")
        elif kind == "project":
            await self._project(dies_after)
        elif kind == "outbox":
            await self._chores(dies_after)
        else:
            await self._command(kind.replace(" ", "_"), a, b, dies_after)
        await self.check()

    async def _command(self, kind: str, a: int, b: int, dies_after: int | None) -> None:
        """It answers as the model does; where it died, all of it happened, or nothing."""
        before = deepcopy(self.model)
        prepared: Prepared | None = getattr(self, f"_{kind}")(a, b)
        if prepared is None:  # there is nothing to do it to
            return

        async def life(process: Process) -> None:
            said = None
            try:
                await prepared.do(process)
            except DarkroomError as error:
                said = type(error).__name__
            assert said == prepared.refusal

        lived = await self.world.live(dies_after, life)
        await self._adopt_new()
        if not lived and await self.seen() != self.expected():
            self.model = before

    async def _project(self, dies_after: int | None) -> None:
        """Where it died there is another soon, which begins at the stored offset."""
        await self.world.project(dies_after)
        folded = await self.world.project(None)
        for event in self.world.log[self._folded : folded]:
            made = event.data.images[0].image_id if isinstance(event, GenerationCompleted) else None
            status = Status(event.type.split(".")[-2].replace("completed", "succeeded"))
            at = milliseconds(event.time)
            self.model.fold(UUID(event.subject), event.data.run_id, status, made, at)
        self._folded = folded

    async def _chores(self, dies_after: int | None) -> None:
        """Where it died there is another outbox soon."""
        if not await self.world.live(dies_after, lambda process: process.chores()):
            assert await self.world.live(None, lambda process: process.chores())
        self.model.sweep()

    def _create_flow(self, a: int, b: int) -> "Prepared":
        return Prepared(lambda process: process.library.flows.create(self.project, {}))

    def _upload(self, a: int, b: int) -> "Prepared":
        flow = self._flow(a) if b else None
        to = Belongings(flow_id=flow)
        refusal = "FlowNotFound" if flow is not None and flow not in self.model.flows else None
        return Prepared(
            lambda process: process.uploads.add(self.project, uuid4(), FILE, to), refusal
        )

    def _submit(self, a: int, b: int) -> "Prepared":
        flow = self._flow(a) if a > 1 else None
        name = NAMES[b % 2] if b in (1, 2, 5) else None
        in_flow = NAMES[b % 2] if b in (3, 4, 5) else None
        asked = wish(flow_id=flow, new_flow=a == 1, alias=name, flow_alias=in_flow)
        refusal = None
        if in_flow is not None and flow is None and a != 1:
            refusal = "InvalidRequest"
        elif flow is not None and flow not in self.model.flows:
            refusal = "FlowNotFound"
        elif name is not None and self.model.taken(name):
            refusal = "AliasTaken"
        return Prepared(lambda process: process.admission.submit(self.project, (asked,)), refusal)

    def _retry(self, a: int, b: int) -> "Prepared | None":
        if (job := _nth(self.model.jobs, a)) is None:
            return None
        found = self.model.jobs[job]
        refusal = None
        if found.deleted:
            refusal = "GenerationNotFound"
        elif not found.status.terminal:
            refusal = "StillRunning"

        async def do(process: Process) -> None:
            stored = await process.library.generations.get(self.project, job)
            await process.admission.rerun(stored, Changes())

        return Prepared(do, refusal)

    def _name(self, a: int, b: int) -> "Prepared | None":
        name = NAMES[b % 2]
        if (image := self._image(a)) is None:
            return None
        refusal = self._hidden(image)
        if refusal is None and self.model.taken(name, image):
            refusal = "AliasTaken"
        if refusal is None:
            self.model.assign(image, name)
        changes = MarkChanges(alias=name)
        return Prepared(
            lambda process: process.library.marks.update(self.project, image, changes), refusal
        )

    def _unname(self, a: int, b: int) -> "Prepared | None":
        if (image := self._image(a)) is None:
            return None
        refusal = self._hidden(image)
        if refusal is None:
            self.model.unname_image(image)
        changes = MarkChanges(alias=None)
        return Prepared(
            lambda process: process.library.marks.update(self.project, image, changes), refusal
        )

    def _name_in_flow(self, a: int, b: int) -> "Prepared | None":
        flow, image, name = self._flow(a), self._image(b), NAMES[b % 2]
        if flow is None or image is None:
            return None
        refusal = self._hidden(image) if flow in self.model.flows else "FlowNotFound"
        if refusal is None:
            self.model.names[flow, name] = Held(image)
        return Prepared(
            lambda process: process.library.flows.put_aliases(self.project, flow, {name: image}),
            refusal,
        )

    def _unname_in_flow(self, a: int, b: int) -> "Prepared | None":
        flow, name = self._flow(a), NAMES[b % 2]
        if flow is None:
            return None
        refusal = None if flow in self.model.flows else "FlowNotFound"
        if refusal is None:
            self.model.names.pop((flow, name), None)
        return Prepared(
            lambda process: process.library.flows.remove_alias(self.project, flow, name), refusal
        )

    def _delete_flow(self, a: int, b: int) -> "Prepared | None":
        if (flow := self._flow(a)) is None:
            return None
        refusal = None if flow in self.model.flows else "FlowNotFound"
        if refusal is None:
            self.model.delete_flow(flow)
        return Prepared(lambda process: process.library.flows.delete(self.project, flow), refusal)

    def _delete_image(self, a: int, b: int) -> "Prepared | None":
        if (image := self._image(a)) is None:
            return None
        refusal = self._hidden(image)
        if refusal is None:
            self.model.delete_picture(image)
        return Prepared(lambda process: process.library.marks.delete(self.project, image), refusal)

    def _purge_image(self, a: int, b: int) -> "Prepared | None":
        if (image := self._image(a)) is None:
            return None
        refusal = None if image in self.model.pictures else "ImageNotFound"
        if refusal is None:
            self.model.purge_picture(image)
        return Prepared(lambda process: process.library.purging.image(self.project, image), refusal)

    def _delete_job(self, a: int, b: int) -> "Prepared | None":
        if (job := _nth(self.model.jobs, a)) is None:
            return None
        refusal = "GenerationNotFound" if self.model.jobs[job].deleted else None
        if refusal is None:
            self.model.delete_job(job)
        return Prepared(lambda process: process.library.deletion.delete(self.project, job), refusal)

    def _purge_job(self, a: int, b: int) -> "Prepared | None":
        if (job := _nth(self.model.jobs, a)) is None:
            return None
        self.model.purge_job(job)
        return Prepared(lambda process: process.library.purging.generation(self.project, job))

    def _flow(self, a: int) -> UUID | None:
        """One that is there, or one that was."""
        return _nth(self.flows_ever, a)

    def _image(self, a: int) -> UUID | None:
        return _nth([*self.model.pictures, *self.model.purged], a)

    def _hidden(self, image: UUID) -> str | None:
        found = self.model.pictures.get(image)
        return "ImageNotFound" if found is None or found.deleted else None

    async def _adopt_new(self) -> None:
        """What the library gave an id to."""
        mine = {"project": self.project}
        async for flow in self._mongo.flows.find(mine):
            if flow["_id"] not in self.flows_ever:
                self.flows_ever.append(flow["_id"])
                self.model.flows[flow["_id"]] = flow["created_at"]
        uploaded = {**mine, "source": ImageSource.UPLOADED}
        async for document in self._mongo.images.find(uploaded):
            image = Image.model_validate(document)
            if image.id not in self.model.pictures.keys() | self.model.purged:
                self.model.upload(image)
        async for document in self._mongo.jobs.find(mine):
            job = Job.model_validate(document)
            if job.id in self.model.purged_jobs:
                continue
            if job.id not in self.model.jobs:
                self.model.submit(job, job.alias, job.flow_alias)
            elif job.run not in self.model.jobs[job.id].runs:
                self.model.jobs[job.id].runs.append(job.run)

    async def check(self) -> None:
        assert await self.seen() == self.expected()

    async def seen(self) -> Seen:
        """All that the library's lists and names say."""
        seen: Seen = {}
        library = Library(self._mongo, Feed(self._mongo), NOWHERE, _nobody)
        for flow, source, deleted in self._image_lists():
            of_images = ImageFilter(flow_id=flow, source=source, include_deleted=deleted)
            page = await library.images.page(self.project, of_images, 100, 0)
            shown = [(each.id, each.flow_id) for each in page.items]
            seen["images", flow, source, deleted] = shown, page.total
        for flow, statuses, deleted in self._job_lists():
            of_jobs = GenerationFilter(flow_id=flow, statuses=statuses, include_deleted=deleted)
            jobs = await library.generations.page(self.project, of_jobs, 100, 0)
            told = [(each.id, each.flow_id, each.status) for each in jobs.items]
            seen["jobs", flow, statuses, deleted] = told, jobs.total
        views = await library.flows.page(self.project, 100, 0)
        counts = [(view.flow.id, view.generations, view.images) for view in views.items]
        seen["flows"] = counts, views.total
        for flow, name in self._names():
            lead = await library.leads.resolve(self.project, name, flow)
            pending = lead.pending.id if lead and lead.pending else None
            seen["name", flow, name] = (lead.image_id if lead else None), pending
        return seen

    def expected(self) -> Seen:
        model, expected = self.model, Seen()
        for flow, source, deleted in self._image_lists():
            chosen = [
                each
                for each in newest(model.pictures.values())
                if self._within(each.flow, flow)
                and source in (None, each.source)
                and (deleted or not each.deleted)
            ]
            shown = [(each.id, self._alive(each.flow)) for each in chosen]
            expected["images", flow, source, deleted] = shown, len(shown)
        for flow, statuses, deleted in self._job_lists():
            told = [
                (each.id, self._alive(each.flow), each.status)
                for each in newest(model.jobs.values())
                if self._within(each.flow, flow)
                and each.status in (statuses or Status)
                and (deleted or not each.deleted)
            ]
            expected["jobs", flow, statuses, deleted] = told, len(told)
        counts = [
            (
                flow,
                sum(each.flow == flow and not each.deleted for each in model.jobs.values()),
                sum(each.flow == flow and not each.deleted for each in model.pictures.values()),
            )
            for flow, _ in sorted(
                model.flows.items(), key=lambda f: (f[1], f[0].bytes), reverse=True
            )
        ]
        expected["flows"] = counts, len(counts)
        for flow, name in self._names():
            expected["name", flow, name] = model.resolve(name, self._alive(flow))
        return expected

    def _image_lists(self) -> Iterator[tuple[UUID | None, ImageSource | None, bool]]:
        yield from ((None, source, deleted) for source in SOURCES for deleted in (False, True))
        yield from ((flow, None, False) for flow in self.flows_ever)

    def _job_lists(self) -> Iterator[tuple[UUID | None, tuple[Status, ...] | None, bool]]:
        yield from ((None, statuses, False) for statuses in STATES)
        yield from ((flow, None, True) for flow in (None, *self.flows_ever))

    def _names(self) -> Iterator[tuple[UUID | None, str]]:
        yield from ((None, name) for name in (*NAMES, *TECHNICAL))
        yield from product(self.flows_ever, NAMES)

    def _within(self, owner: UUID | None, flow: UUID | None) -> bool:
        return flow is None or (flow == owner and flow in self.model.flows)

    def _alive(self, flow: UUID | None) -> UUID | None:
        return flow if flow in self.model.flows else None

    async def finish(self) -> None:
        """Nobody dies any more: what was purged is gone, and the feed tells of the same library."""
        for _ in range(3):
            for _ in range(len(self.model.jobs) + len(self.model.purged_jobs) + 1):
                await self.move("work", 0, 1, None)
            await self.move("project", 0, 0, None)
            await self.move("outbox", 0, 0, None)
            await self.world.long_after()
        assert await self._mongo.removals.count_documents({"project": self.project}) == 0
        assert await self._mongo.library_outbox.count_documents({"project": self.project}) == 0
        await self.world.check_objects(self.project, self.model.purged_jobs)
        await self._check_rebuilt()
        story = read_story(self.world.kafka, self.project)
        assert story == Story.of(self.model), "what the feed tells"

    async def _check_rebuilt(self) -> None:
        """States and facts come from events alone: the whole log again gives the same."""
        states: dict[str, JobState] = defaultdict(JobState)
        facts: dict[UUID, Document] = {}
        for event in self.world.log:
            assert event.subject is not None
            states[event.subject] = fold(states[event.subject], event)
            for image in images_of(event):
                facts[image.id] = image.model_dump(
                    by_alias=True, exclude={"marks"}, exclude_none=True
                )
        async for document in self._mongo.jobs.find({"project": self.project}):
            assert Job.model_validate(document).state == states[str(document["_id"])]
        generated = {"project": self.project, "source": ImageSource.GENERATED}
        async for document in self._mongo.images.find(generated, {"marks": 0}):
            assert document == facts[document["_id"]]


def _nth(items: Collection[UUID], place: int) -> UUID | None:
    return list(items)[place % len(items)] if items else None


async def _nobody(job: Job, reason: str) -> None:
    raise AssertionError("reads cancel nothing")


@pytest.fixture(scope="module")
async def mongo(stack: Settings) -> AsyncIterator[Mongo]:
    async with library_database(stack) as mongo:
        yield mongo


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@example(moves=PROGRAMS[0])
@example(moves=PROGRAMS[1])
@example(moves=PROGRAMS[2])
@example(moves=PROGRAMS[3])
@given(moves=st.lists(MOVES, min_size=5, max_size=20))
async def test_a_library_is_what_its_commands_made_of_it(
    mongo: Mongo, moves: list[tuple[Any, ...]]
) -> None:
    for name in ("jobs", "images", "flows", "queue", "offsets", "removals", "library_outbox"):
        await mongo.database[name].delete_many({})
    machine = Machine(mongo)
    for move in moves:
        await machine.move(*move)
    await machine.finish()

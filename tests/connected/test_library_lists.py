"""Lists on a real mongod: what they show, how much they look at for it, and how they count."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from schemas.common import now
from schemas.images import ImageSource
from schemas.jobs import Dialect, GenerationSpec, Job, JobState, Run, Status
from services.inserts import job_document
from services.library.feed import Feed
from services.library.flows import Flows
from services.library.generations import GenerationFilter, Generations
from services.library.images import ImageFilter, Images
from services.mongo import Document, Mongo
from services.settings import Settings
from tests.connected.library_parts import begun_flow, library_database

pytestmark = pytest.mark.connected

OLD = now() - timedelta(days=2)
SPEC = GenerationSpec(prompt="a red circle", seed=1)


@pytest.fixture(scope="module")
async def mongo(stack: Settings) -> AsyncIterator[Mongo]:
    async with library_database(stack) as mongo:
        yield mongo


@pytest.fixture
def project() -> str:
    return f"test-{uuid4()}"


def image(project: str, place: int, **facts: Any) -> Document:
    """The lower its place, the older."""
    name = uuid4()
    picture = {"image_id": name, "relative_path": f"generated/{name}.png", "sha256": "0" * 64}
    size = {"width": 8, "height": 8, "bytes": 9, "mime_type": "image/png"}
    created_at = OLD + timedelta(seconds=place)
    source = ImageSource.GENERATED
    told = {"project": project, "source": source, "created_at": created_at}
    return {"_id": name, "picture": {**picture, **size}, **told, **facts}


def job(project: str, place: int, status: Status, **facts: Any) -> Job:
    ended_at = OLD + timedelta(seconds=place + 1) if status.terminal else None
    name = uuid4()
    run = Run(number=1, status=status, ended_at=ended_at)
    return Job(
        **{
            "id": name,
            "run": name,
            "project": project,
            "dialect": Dialect.STUDIO,
            "spec": SPEC,
            "created_at": OLD + timedelta(seconds=place),
            "state": JobState(run=name, status=status, ended_at=ended_at, runs={name: run}),
            **facts,
        }
    )


async def store_jobs(mongo: Mongo, jobs: Sequence[Job]) -> None:
    documents = [job_document(each) for each in jobs]
    for document in documents:
        document["state"]["runs"] = {str(k): v for k, v in document["state"]["runs"].items()}
    await mongo.jobs.insert_many(documents)


async def store_images(mongo: Mongo, project: str, flow: UUID | None = None) -> None:
    """2,000 of which each twentieth is uploaded, and the newest 500 are deleted."""
    marked = {"marks": {"meta": {}, "deleted_at": now()}}
    await mongo.images.insert_many(
        image(
            project,
            place,
            **({"source": ImageSource.UPLOADED} if place % 20 == 0 else {}),
            **({"flow_id": flow} if flow else {}),
            **(marked if place >= 1500 else {}),
        )
        for place in range(2000)
    )


class Looks:
    """What the server did for the reads within: each query and each count, with its plan."""

    def __init__(self, mongo: Mongo) -> None:
        self._database = mongo.database
        self.seen: list[Document] = []

    async def __aenter__(self) -> "Looks":
        await self._database.command("profile", 2)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._database.command("profile", 0)
        found = self._database["system.profile"].find({"op": {"$in": ["query", "command"]}})
        self.seen = [each for each in await found.to_list(None) if "planSummary" in each]
        await self._database.drop_collection("system.profile")

    def none_searches(self) -> None:
        assert self.seen
        for look in self.seen:
            assert "COLLSCAN" not in look["planSummary"], look["command"]
            assert not look.get("hasSortStage"), look["command"]

    def of_page(self, collection: str) -> Document:
        (page,) = (each for each in self.seen if each["command"].get("find") == collection)
        return page


PLACES = [(20, 0), (20, 100), (7, 1300)]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "chosen",
    [
        ImageFilter(source=source, include_deleted=deleted)
        for source in (None, *ImageSource)
        for deleted in (False, True)
    ],
)
@pytest.mark.parametrize("in_flow", [False, True])
async def test_a_page_of_images_looks_at_no_more_than_lies_before_its_end(
    mongo: Mongo,
    project: str,
    place: tuple[int, int],
    chosen: ImageFilter,
    in_flow: bool,
) -> None:
    limit, offset = place
    flow = await begun_flow(mongo, project) if in_flow else None
    await store_images(mongo, project, flow)
    chosen = chosen.model_copy(update={"flow_id": flow})

    async with Looks(mongo) as looks:
        page = await Images(mongo).page(project, chosen, limit, offset)

    looks.none_searches()
    assert looks.of_page("images")["keysExamined"] <= offset + limit + len(chosen.sources)
    assert {each.source for each in page.items} <= set(chosen.sources)
    assert chosen.include_deleted or all(not each.marks.deleted_at for each in page.items)
    stored = 2000 if chosen.include_deleted else 1500
    share = {None: 1.0, ImageSource.UPLOADED: 0.05, ImageSource.GENERATED: 0.95}[chosen.source]
    assert page.total == stored * share
    assert len(page.items) == min(limit, max(0, page.total - offset))
    places = [(each.created_at, each.id.bytes) for each in page.items]
    assert places == sorted(places, reverse=True)
    await mongo.images.delete_many({"project": project})


@pytest.mark.parametrize("offset", [0, 100])
@pytest.mark.parametrize("include_deleted", [False, True])
@pytest.mark.parametrize(
    "expected",  # statuses, how many of them are shown, how many deleted
    [
        (None, 1510, 500),
        ((Status.PENDING,), 310, 100),
        ((Status.RUNNING,), 300, 100),
        ((Status.SUCCEEDED,), 300, 100),
        ((Status.FAILED, Status.CANCELLED), 600, 200),
    ],
)
async def test_a_page_of_generations_looks_at_no_more_than_lies_before_its_end(
    mongo: Mongo,
    expected: tuple[tuple[Status, ...] | None, int, int],
    include_deleted: bool,
    offset: int,
) -> None:
    project = f"test-{uuid4()}"
    statuses, shown, deleted = expected
    among = list(Status)
    await store_jobs(
        mongo,
        [
            job(project, n, among[n % 5], **({"deleted_at": now()} if n >= 1500 else {}))
            for n in range(2000)
        ],
    )
    moved = [job(project, 3000 + n, Status.SUCCEEDED, moved_on=True) for n in range(10)]
    await store_jobs(mongo, [each.model_copy(update={"run": uuid4()}) for each in moved])

    async with Looks(mongo) as looks:
        chosen = GenerationFilter(statuses=statuses, include_deleted=include_deleted)
        page = await Generations(mongo).page(project, chosen, 20, offset)

    looks.none_searches()
    slack = 2 * 10 + len(statuses or ()) + 1
    assert looks.of_page("jobs")["keysExamined"] <= offset + 20 + slack
    assert page.total == shown + deleted * include_deleted
    assert {each.status for each in page.items} <= set(statuses or Status)
    assert len(page.items) == 20
    await mongo.jobs.delete_many({"project": project})


async def test_a_page_of_flows_is_counted_from_indexes_alone(mongo: Mongo, project: str) -> None:
    flows = [await begun_flow(mongo, project) for _ in range(30)]
    crowd = [image(project, n, flow_id=flows[n % 30]) for n in range(300)]
    crowd[0] |= {"marks": {"meta": {}, "deleted_at": now()}}
    await mongo.images.insert_many(crowd)
    jobs = [job(project, n, Status.PENDING, flow_id=flows[n % 30]) for n in range(90)]
    await store_jobs(mongo, [*jobs, job(project, 0, Status.PENDING, deleted_at=now())])

    async with Looks(mongo) as looks:
        page = await Flows(mongo, Feed(mongo)).page(project, 20, 0)

    looks.none_searches()
    counting = [each for each in looks.seen if "aggregate" in each["command"]]
    assert [each["docsExamined"] for each in counting] == [0] * len(counting)
    assert (len(page.items), page.total) == (20, 30)
    counts = {view.flow.id: (view.generations, view.images) for view in page.items}
    expected = {flow: (3, 10 - (flow == flows[0])) for flow in counts}
    assert counts == expected
    assert list(counts) == [view.flow.id for view in sorted(page.items, key=_age, reverse=True)]


def _age(view: Any) -> tuple[datetime, bytes]:
    return view.flow.created_at, view.flow.id.bytes

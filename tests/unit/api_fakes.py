"""Fakes of what the API stands on: ordinary classes with dictionaries inside."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import cast
from uuid import UUID, uuid4

from starlette.applications import Starlette
from starlette.testclient import TestClient

from api.app import create_app
from api.readiness import Ping, Readiness
from api.state import State
from schemas.common import now
from schemas.jobs import (
    GenerationSpec,
    Idempotency,
    Job,
    JobState,
    Lane,
    Output,
    Progress,
    Run,
    Stage,
    Status,
    Tier,
)
from schemas.recipes import Recipe
from services.accounts import Caller
from services.admission import Admitted, Wish
from services.answers import Answer
from services.engine.catalogue import Catalogue
from services.errors import IdempotencyMismatch, NotFound, RangeNotSatisfiable, Unauthorized
from services.object_store import ObjectStream, StoredObject
from services.rate_limits import Budget, Rate, Window
from services.read_model import JobFilter, JobPage
from services.settings import ApiSettings, Settings
from services.settled import settled
from services.signing import Signer
from services.tokens import Tokens
from tests.unit.live_fakes import FakeLiveCache, FakeLiveUrls

KEY = "dk_" + "a" * 12 + "_" + "b" * 43
OTHER_KEY = "dk_" + "c" * 12 + "_" + "d" * 43
READ_KEY = "dk_" + "e" * 12 + "_" + "f" * 43
LIVE_KEY = "dk_" + "3" * 12 + "_" + "4" * 43
LIMITED_KEY = "dk_" + "1" * 12 + "_" + "2" * 43
PICTURE = "generated/7c0e0000-0000-4000-8000-000000000001.png"
MOMENT = datetime(2026, 11, 21, 5, 20, tzinfo=UTC)
SIGNER = Signer("a master secret of tests")
CATALOGUE = Catalogue.load(Path("models/models.yaml"))


class FakeKeys:
    def __init__(self) -> None:
        self.callers = {
            KEY: Caller(project="demo"),
            OTHER_KEY: Caller(project="other"),
            READ_KEY: Caller(project="demo", scopes=("read",)),
            LIVE_KEY: Caller(project="demo", scopes=("live",)),
            LIMITED_KEY: Caller(project="demo", key_id="1" * 12, limit="2/hour"),
        }
        self.outage: Exception | None = None

    async def authenticate(self, text: str | None) -> Caller:
        if self.outage:
            raise self.outage
        if text not in self.callers:
            raise Unauthorized
        return self.callers[text]


class FakeRateLimits:
    def __init__(self) -> None:
        self.used: Counter[str] = Counter()

    async def take(self, key_id: str, limit: str) -> Budget:
        rate = Rate.parse(limit)
        passed = self.used[key_id] < rate.quota
        self.used[key_id] += passed
        window = Window(
            key_id=key_id,
            used=self.used[key_id],
            ends_at=now() + rate.window,
            passed=passed,
        )
        return Budget(rate=rate, window=window)

    async def give_back(self, budget: Budget) -> None:
        self.used[budget.window.key_id] -= 1


class FakeJobs:
    """Admission and read model over the same dictionary."""

    def __init__(self) -> None:
        self.stored: dict[UUID, Job] = {}
        self.wishes: list[Wish] = []
        self.cancelled: list[UUID] = []
        self.purged_images: set[UUID] = set()
        self.on_read: Callable[[], None] = lambda: None

    async def submit(
        self, project: str, wishes: Sequence[Wish], *, idempotency: Idempotency | None = None
    ) -> Admitted:
        if idempotency and (admitted := await self.replay(idempotency)):
            return admitted
        self.wishes += wishes
        jobs = tuple(self._admitted(project, wish) for wish in wishes)
        jobs = (jobs[0].model_copy(update={"idempotency": idempotency}), *jobs[1:])
        if len(jobs) > 1 and jobs[0].batch_id is None:
            jobs = tuple(job.model_copy(update={"batch_id": jobs[0].id}) for job in jobs)
        self.stored |= {job.id: job for job in jobs}
        return Admitted(jobs=jobs)

    def _admitted(self, project: str, wish: Wish) -> Job:
        job = wish.job_id or uuid4()
        facts = wish.model_dump(exclude={"spec", "job_id", "lane"})
        spec = settled(wish.spec, CATALOGUE, job)
        return make_job(project=project, spec=spec, _id=job, run=job, **facts)

    async def replay(self, idempotency: Idempotency) -> Admitted | None:
        for job in self.stored.values():
            known = job.idempotency
            if known and (known.scope, known.key) == (idempotency.scope, idempotency.key):
                if known.request_sha256 != idempotency.request_sha256:
                    raise IdempotencyMismatch
                batch = await self.batch(job.project, job.batch_id) if job.batch_id else (job,)
                return Admitted(jobs=batch, replayed=True)
        return None

    async def cancel(self, job: Job, reason: str) -> None:
        self.cancelled.append(job.id)

    async def job(self, project: str, job: UUID, owner: str | None = None) -> Job | None:
        self.on_read()
        found = self.stored.get(job)
        seen = found and found.project == project and owner in (None, found.owner)
        return found if seen else None

    async def these(self, project: str, jobs: Sequence[UUID]) -> tuple[Job, ...]:
        self.on_read()
        return tuple(self.stored[job] for job in jobs)

    async def batch(self, project: str, batch: UUID, owner: str | None = None) -> tuple[Job, ...]:
        self.on_read()
        every = [job for job in self.stored.values() if job.project == project]
        return tuple(job for job in every if job.batch_id == batch)

    async def jobs(self, project: str, chosen: JobFilter, limit: int, offset: int) -> JobPage:
        found = [
            job
            for job in self.stored.values()
            if job.project == project
            and chosen.blog_id in (None, job.blog_id)
            and (chosen.statuses is None or job.status in chosen.statuses)
        ]
        return JobPage(jobs=tuple(found[offset : offset + limit]), total=len(found))

    async def purged(self, image: UUID) -> bool:
        return image in self.purged_images

    def end_all(self, status: Status = Status.SUCCEEDED) -> None:
        self.stored = {key: ended(job, status) for key, job in self.stored.items()}


class FakePolls:
    def __init__(self, keys: FakeKeys, jobs: FakeJobs) -> None:
        self._keys = keys
        self._jobs = jobs

    async def job(self, text: str | None, job: UUID) -> tuple[Caller, Job | None]:
        caller = await self._keys.authenticate(text)
        return caller, await self._jobs.job(caller.project, job)


class FakeRecipes:
    def __init__(self) -> None:
        self.known: dict[tuple[str, str], Recipe] = {}

    async def get(self, project: str, recipe_id: str) -> Recipe | None:
        return self.known.get((project, recipe_id))

    async def save(self, project: str, recipe: Recipe) -> None:
        self.known[project, recipe.recipe_id] = recipe


class FakeAnswers:
    def __init__(self) -> None:
        self.given: dict[tuple[str, str], tuple[str, Answer]] = {}

    async def once(
        self, idempotency: Idempotency, make: Callable[[UUID], Awaitable[Answer]]
    ) -> tuple[Answer, bool]:
        name = (idempotency.scope, idempotency.key)
        if name in self.given:
            request, answer = self.given[name]
            if request != idempotency.request_sha256:
                raise IdempotencyMismatch
            return answer, True
        answer = await make(uuid4())
        self.given[name] = (idempotency.request_sha256, answer)
        return answer, False


class FakeBody:
    def __init__(self, content: bytes) -> None:
        self.content = content

    async def iter_chunks(self, size: int) -> AsyncIterator[bytes]:
        for start in range(0, len(self.content), size):
            yield self.content[start : start + size]


class FakeObjectStore:
    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    async def head(self, key: str) -> StoredObject:
        if key not in self.objects:
            raise NotFound
        size = len(self.objects[key])
        return StoredObject(
            size=size, content_length=size, content_type="image/png", sha256="5e" * 32
        )

    async def put(self, key: str, content: bytes, content_type: str, sha256: str) -> None:
        self.objects[key] = content

    @asynccontextmanager
    async def stream(self, key: str, byte_range: str | None = None) -> AsyncIterator[ObjectStream]:
        facts = await self.head(key)
        content = self.objects[key]
        if byte_range:
            first, _, last = byte_range.removeprefix("bytes=").partition("-")
            start = int(first) if first else max(0, len(content) - int(last))
            end = min(int(last) + 1, len(content)) if first and last else len(content)
            if start >= len(content):
                raise RangeNotSatisfiable
            content = content[start:end]
            shown = f"bytes {start}-{end - 1}/{facts.size}"
            update = {"content_length": len(content), "content_range": shown}
            facts = facts.model_copy(update=update)
        yield ObjectStream(facts, FakeBody(content))


class FakeWaiters:
    """Never rings, so that those who wait look by themselves."""

    ready = False

    @contextmanager
    def bell(self, jobs: Iterable[UUID]) -> Iterator[asyncio.Event]:
        yield asyncio.Event()


class FakeEstimates:
    def __init__(self) -> None:
        self.counted: list[UUID] = []

    def seconds(self, project: str, spec: GenerationSpec, lane: Lane) -> float:
        return 12.5

    def one_after_another(
        self, project: str, asked: Sequence[tuple[GenerationSpec, Lane]]
    ) -> tuple[float, ...]:
        return tuple(12.5 * (number + 1) for number in range(len(asked)))

    def admitted(self, jobs: Sequence[Job]) -> None:
        self.counted += [job.run for job in jobs]


class Parts:
    """Everything a test may look into or break."""

    def __init__(self, **api: object) -> None:
        self.keys = FakeKeys()
        self.tokens = Tokens(Settings(), SIGNER)
        self.rate_limits = FakeRateLimits()
        self.jobs = FakeJobs()
        self.recipes = FakeRecipes()
        self.answers = FakeAnswers()
        self.live = FakeLiveCache(lambda: self.jobs.stored, CATALOGUE)
        self.live_urls = FakeLiveUrls()
        self.store = FakeObjectStore()
        self.estimates = FakeEstimates()
        self.pings: dict[str, Ping] = {"mongo": _answers, "kafka": _answers, "s3": _answers}
        self.settings = Settings(api=ApiSettings.model_validate(api))

    def client(self) -> TestClient:
        """Not entered yet: `with parts.client() as client`."""
        return TestClient(create_app(self._lifespan(), self.settings))

    def _lifespan(self) -> Callable[[Starlette], AbstractAsyncContextManager[State]]:
        @asynccontextmanager
        async def lifespan(_app: Starlette) -> AsyncIterator[State]:
            yield cast(
                State,
                {
                    "settings": self.settings,
                    "keys": self.keys,
                    "tokens": self.tokens,
                    "rate_limits": self.rate_limits,
                    "admission": self.jobs,
                    "answers": self.answers,
                    "recipes": self.recipes,
                    "upstream": None,
                    "read_model": self.jobs,
                    "polls": FakePolls(self.keys, self.jobs),
                    "live": self.live,
                    "live_urls": self.live_urls,
                    "object_store": self.store,
                    "waiters": FakeWaiters(),
                    "catalogue": CATALOGUE,
                    "estimates": self.estimates,
                    "readiness": Readiness(self.pings),
                },
            )

        return lifespan


async def _answers() -> None:
    return None


def make_job(**fields: object) -> Job:
    """A job that was just admitted."""
    job_id = uuid4()
    defaults: dict[str, object] = {
        "_id": job_id,
        "run": job_id,
        "project": "demo",
        "dialect": "blog",
        "spec": {"prompt": "a red circle", "seed": 7},
        "created_at": MOMENT,
    }
    return Job.model_validate(defaults | fields)


def with_run(job: Job, run: Run) -> Job:
    state = JobState(run=job.run, status=run.status, runs={job.run: run})
    return job.model_copy(update={"state": state})


def running(job: Job, percent: int = 40, stage: Stage = Stage.DENOISING) -> Job:
    progress = Progress(stage=stage, percent=percent)
    return with_run(job, Run(number=1, status=Status.RUNNING, started_at=MOMENT, progress=progress))


def ended(job: Job, status: Status = Status.SUCCEEDED) -> Job:
    failure = None if status is Status.SUCCEEDED else {"code": "oom", "message": "out of memory"}
    return with_run(
        job,
        Run.model_validate(
            {
                "number": 1,
                "status": status,
                "started_at": MOMENT,
                "ended_at": MOMENT,
                "output": output() if status is Status.SUCCEEDED else None,
                "failure": failure,
            }
        ),
    )


def output() -> Output:
    picture = {
        "image_id": "7c0e0000-0000-4000-8000-000000000001",
        "relative_path": PICTURE,
        "sha256": "5e" * 32,
        "width": 512,
        "height": 288,
        "bytes": 31337,
        "seed": 7,
    }
    return Output.model_validate(
        {
            "pictures": [picture],
            "model": "tiny",
            "tier": Tier.STANDARD,
            "generation_seconds": 1.1,
            "queue_seconds": 0.4,
            "gpu_seconds": 1.0,
            "cost": 0.0,
            "device": "cpu",
        }
    )

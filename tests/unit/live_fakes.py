"""Fakes of what the routes of live pictures stand on."""

from collections import Counter
from collections.abc import Callable
from uuid import UUID

from schemas.common import now
from schemas.images import Image, ImageSource
from schemas.jobs import Dialect, Job, Status
from schemas.live import LiveUrl
from services.engine.catalogue import Catalogue
from services.errors import LiveUrlNotFound, LiveUrlRefused
from services.live.cache import Kept, Wanted
from services.live.tokens import read_token, token_of
from services.live.urls import LiveUrlPage
from services.settled import settled
from services.signing import Signer

SIGNER = Signer("a master secret of tests")


class FakeLiveCache:
    """`jobs` gives the dictionary that polls look into."""

    def __init__(self, jobs: Callable[[], dict[UUID, Job]], catalogue: Catalogue) -> None:
        self._jobs = jobs
        self.catalogue = catalogue
        self.claims: dict[str, UUID] = {}
        self.wanted: list[Wanted] = []
        self.hits: Counter[str] = Counter()
        self.refusal: Exception | None = None

    @property
    def jobs(self) -> dict[UUID, Job]:
        return self._jobs()

    async def kept(self, wanted: Wanted) -> Kept | None:
        self.wanted.append(wanted)
        job = self.jobs.get(self.claims.get(wanted.key, UUID(int=0)))
        if job is None or job.status is not Status.SUCCEEDED or job.output is None:
            return None
        self.hits[wanted.key] += 1
        picture = job.output.pictures[0]
        image = Image(
            id=picture.image_id,
            project=job.project,
            source=ImageSource.GENERATED,
            picture=picture,
            job_id=job.id,
        )
        return Kept(image=image, hits=self.hits[wanted.key])

    async def job(self, wanted: Wanted) -> Job:
        if self.refusal:
            raise self.refusal
        if known := self.claims.get(wanted.key):
            return self.jobs[known]
        job_id = UUID(int=len(self.jobs) + 1)
        job = Job(
            id=job_id,
            run=job_id,
            project=wanted.project,
            dialect=Dialect.STUDIO,
            spec=settled(wanted.spec, self.catalogue, job_id),
        )
        self.claims[wanted.key] = job.id
        self.jobs[job.id] = job
        return job


class FakeLiveUrls:
    def __init__(self) -> None:
        self.urls: dict[UUID, LiveUrl] = {}

    def token(self, url: LiveUrl) -> str:
        return token_of(url, SIGNER)

    async def create(self, url: LiveUrl) -> LiveUrl:
        return self.urls.setdefault(url.id, url)

    async def ls(self, project: str, limit: int, offset: int) -> LiveUrlPage:
        urls = [url for url in reversed(self.urls.values()) if url.project == project]
        return LiveUrlPage(urls=tuple(urls[offset : offset + limit]), total=len(urls))

    async def revoke(self, project: str, url_id: UUID) -> LiveUrl:
        url = self.urls.get(url_id)
        if url is None or url.project != project:
            raise LiveUrlNotFound
        self.urls[url_id] = url.model_copy(update={"revoked_at": url.created_at})
        return self.urls[url_id]

    async def named(self, token: str) -> LiveUrl:
        url = self.urls[read_token(token, SIGNER, now())]
        if url.revoked_at:
            raise LiveUrlRefused("The live URL was revoked")
        return url

"""The blog dialect from outside: submit, poll until it has ended, download. Plain HTTP."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Final, Self
from uuid import UUID, uuid4

import httpx2

from compose.errors import CommandFailed
from schemas.wire.blog import (
    GenerationBody,
    ImageGenerationJobResponse,
    ImageJobStatusResponse,
    JobList,
    JobQuery,
)
from services.loopback import is_loopback

SUBMIT: Final = "/api/v1/images/generate-async"
JOBS: Final = "/api/v1/images/jobs"
GENERATIONS: Final = "/api/v1/generations"  #: a retry is studio's word, for any dialect's job
ENDED: Final = ("completed", "failed")
POLL_SECONDS: Final = 0.2
PATIENCE_SECONDS: Final = 60.0  #: an API that restarts, or waits for its MongoDB
RETRIED: Final = (429, 502, 503, 504)


Hopeless = Callable[[], None]


class Client:
    """`hopeless` is asked between two tries: it raises where waiting on would be in vain."""

    def __init__(self, http: httpx2.Client, hopeless: Hopeless) -> None:
        self._http = http
        self._hopeless = hopeless

    @classmethod
    @contextmanager
    def open(cls, url: str, key: str, hopeless: Hopeless = lambda: None) -> Iterator[Self]:
        with httpx2.Client(
            base_url=url,
            headers={"X-API-Key": key},
            timeout=httpx2.Timeout(70, connect=5),
            trust_env=not is_loopback(url),  # a proxy can't reach our loopback
        ) as http:
            yield cls(http, hopeless)

    def submit(self, body: GenerationBody) -> UUID:
        """Safe to repeat: the server knows the same submit by its idempotency key."""
        answer = self._ask(
            "POST",
            SUBMIT,
            content=body.model_dump_json(exclude_none=True),
            headers={"Content-Type": "application/json", "Idempotency-Key": str(uuid4())},
        )
        return ImageGenerationJobResponse.model_validate_json(answer.content).job_id

    def poll(self, job_id: UUID) -> ImageJobStatusResponse:
        answer = self._ask("GET", f"{JOBS}/{job_id}")
        return ImageJobStatusResponse.model_validate_json(answer.content)

    def watch(self, job_id: UUID) -> Iterator[ImageJobStatusResponse]:
        """Every poll, the last of which has ended."""
        while True:
            job = self.poll(job_id)
            yield job
            if job.status in ENDED:
                return
            self._hopeless()
            sleep(POLL_SECONDS)

    def cancel(self, job_id: UUID) -> ImageJobStatusResponse:
        answer = self._ask("DELETE", f"{JOBS}/{job_id}")
        return ImageJobStatusResponse.model_validate_json(answer.content)

    def retry(self, job_id: UUID, seed: int | None = None) -> ImageJobStatusResponse:
        """Begin a job that has ended once more; safe to repeat, as a submit is."""
        self._ask(
            "POST",
            f"{GENERATIONS}/{job_id}/retry",
            json={} if seed is None else {"seed": seed},
            headers={"Idempotency-Key": str(uuid4())},
        )
        return self.poll(job_id)

    def ls(self, query: JobQuery) -> JobList:
        chosen = query.model_dump(mode="json", exclude_none=True)
        return JobList.model_validate_json(self._ask("GET", JOBS, params=chosen).content)

    def save(self, job: ImageJobStatusResponse, first: Path) -> tuple[Path, ...]:
        """Write the job's pictures to `first`, then `first`-2, `first`-3 …"""
        urls = [image.url for image in job.result.images] if job.result else []
        files = []
        for number, url in enumerate(urls, start=1):
            file = first if number == 1 else first.with_stem(f"{first.stem}-{number}")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(self._ask("GET", url).content)
            files.append(file)
        return tuple(files)

    def _ask(self, method: str, path: str, **options: object) -> httpx2.Response:
        deadline = monotonic() + PATIENCE_SECONDS
        while True:
            try:
                answer = self._http.request(method, path, **options)  # type: ignore[arg-type]
            except httpx2.TransportError as error:
                if monotonic() > deadline or isinstance(error, httpx2.UnsupportedProtocol):
                    raise self._silent(error) from error
            else:
                if answer.status_code not in RETRIED or monotonic() > deadline:
                    return _accepted(answer)
            self._hopeless()
            sleep(POLL_SECONDS * 2)

    def _silent(self, error: Exception) -> CommandFailed:
        return CommandFailed(
            f"{self._http.base_url} does not answer: {error}",
            "`./darkroom status` says what runs here, `./darkroom up` starts it",
        )


def _accepted(answer: httpx2.Response) -> httpx2.Response:
    if answer.is_success:
        return answer
    hint = "set another key: --key, or DARKROOM_API_KEY" if answer.status_code in (401, 403) else ""
    raise CommandFailed(f"HTTP {answer.status_code}: {answer.text[:500]}", hint)

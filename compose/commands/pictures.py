"""A request in -> the ended job and its files, a progress bar in between."""

from pathlib import Path
from uuid import UUID

from compose.client import Client
from compose.console import percentages
from compose.errors import CommandFailed
from schemas.wire.blog import GenerationBody, ImageJobStatusResponse


def make(
    client: Client, body: GenerationBody, file: Path
) -> tuple[ImageJobStatusResponse, tuple[Path, ...]]:
    """Raise when the job fails, or is cancelled meanwhile."""
    job = follow(client, client.submit(body))
    if job.status == "failed":
        raise CommandFailed(
            f"job {job.job_id} failed: {job.error_message}", "read `./darkroom logs generator`"
        )
    return job, client.save(job, file)


def follow(client: Client, job_id: UUID) -> ImageJobStatusResponse:
    with percentages() as progress:
        bar = progress.add_task("submitted", total=100)
        for job in client.watch(job_id):
            words = job.current_stage.value.replace("_", " ")
            progress.update(bar, completed=job.progress_percentage, description=words)
    return job

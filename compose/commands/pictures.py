"""A request in -> the ended job and its files, a progress bar in between."""

from pathlib import Path
from tempfile import TemporaryFile
from uuid import UUID

from compose.client import Client
from compose.console import percentages
from compose.errors import CommandFailed, UsageFailed
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
    try:
        return job, client.save(job, file)
    except OSError as error:
        raise CommandFailed(
            f"{error.filename or file}: {error.strerror}",
            f"the pictures are kept: `./darkroom jobs get {job.job_id}` names them",
        ) from error


def check_writable(file: Path) -> None:
    """Before anything is paid for; makes the folder where there is none."""
    if file.is_dir():
        raise UsageFailed(f"{file} is a folder", f"name a file: {file / 'picture.png'}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.exists():
            file.open("ab").close()
        else:
            TemporaryFile(dir=file.parent).close()
    except OSError as error:
        told = f"{file} can't be written: {error.strerror}"
        raise UsageFailed(told, "choose another place with -o") from error


def follow(client: Client, job_id: UUID) -> ImageJobStatusResponse:
    with percentages() as progress:
        bar = progress.add_task("submitted", total=100)
        for job in client.watch(job_id):
            words = job.current_stage.value.replace("_", " ")
            progress.update(bar, completed=job.progress_percentage, description=words)
    return job

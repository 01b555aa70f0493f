"""Jars from a loopback repository that fails, lies and counts."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from compose.embedded import downloads
from compose.embedded.downloads import fetch
from compose.embedded.jars import (
    LOCK,
    Jar,
    classpath,
    corrupt,
    jar_folder,
    missing,
    read_lock,
)
from compose.errors import CommandFailed

CONTENT = {f"org/example/part-{number}.jar": bytes([number]) * 5000 for number in range(12)}
JARS = tuple(
    Jar(path=path, size=len(content), sha256=hashlib.sha256(content).hexdigest())
    for path, content in CONTENT.items()
)


class Repository:
    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()  #: how often a path still answers 503
        self.content = dict(CONTENT)
        self.url = ""


@pytest.fixture
def repository(monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    monkeypatch.setattr(downloads, "FIRST_PAUSE_SECONDS", 0.001)
    repository = Repository()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.removeprefix("/")
            repository.asked[path] += 1
            failing = repository.failures[path] > 0
            repository.failures[path] -= failing
            self.send_response(503 if failing else 200)
            self.end_headers()
            self.wfile.write(b"busy" if failing else repository.content[path])

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = Thread(target=server.serve_forever)
        serving.start()
        repository.url = f"http://127.0.0.1:{server.server_port}/"
        yield repository
        server.shutdown()
        serving.join()


def unfinished(cache: Path) -> list[Path]:
    return list(cache.rglob(".*"))


async def test_the_cache_holds_every_jar_and_is_not_asked_for_twice(
    repository: Repository, tmp_path: Path
) -> None:
    received: list[int] = []
    for _ in range(2):
        await fetch(JARS, tmp_path, repository.url, received.append)

    assert missing(JARS, tmp_path) == ()
    assert corrupt(JARS, tmp_path) == ()
    assert sum(received) == sum(jar.size for jar in JARS)
    assert set(repository.asked.values()) == {1}
    assert classpath(JARS, tmp_path) == ":".join(f"{tmp_path}/jars/{jar.path}" for jar in JARS)


async def test_a_busy_repository_is_asked_again(repository: Repository, tmp_path: Path) -> None:
    repository.failures[JARS[0].path] = 3
    received: list[int] = []

    await fetch(JARS, tmp_path, repository.url, received.append)

    assert repository.asked[JARS[0].path] == 4
    assert sum(received) == sum(jar.size for jar in JARS)


async def test_other_bytes_than_the_locks_are_refused_and_not_kept(
    repository: Repository, tmp_path: Path
) -> None:
    forged = JARS[3]
    repository.content[forged.path] = b"\xff" * forged.size

    with pytest.raises(CommandFailed, match=f"{forged.path} could not be downloaded"):
        await fetch(JARS, tmp_path, repository.url, lambda _: None)

    assert forged in missing(JARS, tmp_path)
    assert unfinished(tmp_path) == []


async def test_a_repository_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(downloads, "FIRST_PAUSE_SECONDS", 0.001)
        with pytest.raises(CommandFailed) as failure:
            await fetch(JARS[:1], tmp_path, "http://127.0.0.1:1", lambda _: None)

    assert "http://127.0.0.1:1/org/example" in str(failure.value)
    assert "DARKROOM_MAVEN_REPOSITORY" in failure.value.hint


async def test_two_stacks_that_start_at_once_fetch_each_jar_once(
    repository: Repository, tmp_path: Path
) -> None:
    await asyncio.gather(*(fetch(JARS, tmp_path, repository.url, lambda _: None) for _ in range(3)))

    assert missing(JARS, tmp_path) == ()
    assert set(repository.asked.values()) == {1}


def test_a_damaged_file_in_the_cache_is_found(tmp_path: Path) -> None:
    file = jar_folder(tmp_path) / JARS[0].path
    file.parent.mkdir(parents=True)
    file.write_bytes(b"\x00" * (JARS[0].size - 1) + b"\x01")

    assert missing(JARS[:1], tmp_path) == ()
    assert corrupt(JARS[:1], tmp_path) == JARS[:1]


def test_the_lock_names_each_jar_once_and_no_address() -> None:
    lock = read_lock()

    for jars in (lock.kafka, lock.s3):
        assert len({jar.path for jar in jars}) == len(jars)
        assert all(len(jar.sha256) == 64 and jar.size > 0 for jar in jars)
    assert "://" not in LOCK.read_text()

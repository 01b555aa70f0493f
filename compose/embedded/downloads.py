"""A hash lock and a Maven repository in -> verified jars in the cache that all stacks share."""

import asyncio
import hashlib
import os
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from pathlib import Path
from secrets import token_hex

import httpx2

from compose.embedded.locks import hold
from compose.errors import CommandFailed
from schemas.common import Value

LOCK = Path(__file__).with_name("jars.lock.json")
PARALLEL = 8
TRIES = 5
FIRST_PAUSE_SECONDS = 0.5
TIMEOUT = httpx2.Timeout(30, connect=15)

OnBytes = Callable[[int], None]  #: called with each received (or, on a retry, withdrawn) size


class Jar(Value):
    path: str  #: below the repository's address and below the cache alike
    size: int
    sha256: str


class JarLock(Value):
    kafka: tuple[Jar, ...]
    s3: tuple[Jar, ...]


class Corrupt(Exception):
    """The repository sent other bytes than the lock names."""


def read_lock() -> JarLock:
    return JarLock.model_validate_json(LOCK.read_bytes())


def jar_folder(cache: Path) -> Path:
    return cache / "jars"


def classpath(jars: Iterable[Jar], cache: Path) -> str:
    return os.pathsep.join(str(jar_folder(cache) / jar.path) for jar in jars)


def missing(jars: Iterable[Jar], cache: Path) -> tuple[Jar, ...]:
    """Those not in the cache; a file is renamed into place whole, so its size tells."""
    return tuple(jar for jar in jars if not _has_size(jar_folder(cache) / jar.path, jar.size))


def corrupt(jars: Iterable[Jar], cache: Path) -> tuple[Jar, ...]:
    """Those whose bytes in the cache are not the lock's: reads every file."""
    return tuple(jar for jar in jars if _sha256(jar_folder(cache) / jar.path) != jar.sha256)


def default_repository() -> str:
    """Maven's own repository, as the resolver that made the lock knows it."""
    from jgo.maven import MavenContext  # 0.6 s that only a cold cache needs

    return str(next(iter(MavenContext().remote_repos.values())))


async def fetch(jars: Iterable[Jar], cache: Path, repository: str, on_bytes: OnBytes) -> None:
    """Fill the cache; a second stack waits for the first and finds its files."""
    with await asyncio.to_thread(hold, cache / "downloads.lock"):
        wanted = missing(jars, cache)
        turns = asyncio.Semaphore(PARALLEL)
        async with httpx2.AsyncClient(timeout=TIMEOUT, follow_redirects=True) as client:
            try:
                async with asyncio.TaskGroup() as tasks:
                    for jar in wanted:
                        url = f"{repository.rstrip('/')}/{jar.path}"
                        receive = partial(_receive, client, url, jar, cache, on_bytes)
                        tasks.create_task(_until_received(receive, turns, url))
            except* CommandFailed as failures:
                raise failures.exceptions[0] from None


async def _until_received(
    receive: Callable[[], Awaitable[None]], turns: asyncio.Semaphore, url: str
) -> None:
    for attempt in range(1, TRIES + 1):
        try:
            async with turns:
                return await receive()
        except (httpx2.HTTPError, Corrupt) as error:
            if attempt == TRIES:
                raise CommandFailed(
                    f"{url} could not be downloaded: {error or type(error).__name__}",
                    "check the network, or set DARKROOM_MAVEN_REPOSITORY to a mirror",
                ) from error
            await asyncio.sleep(FIRST_PAUSE_SECONDS * 2 ** (attempt - 1))


async def _receive(
    client: httpx2.AsyncClient, url: str, jar: Jar, cache: Path, on_bytes: OnBytes
) -> None:
    target = jar_folder(cache) / jar.path
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.name}.{token_hex(4)}")
    digest, received = hashlib.sha256(), 0
    try:
        async with client.stream("GET", url) as response:
            response.raise_for_status()
            with unfinished.open("wb") as file:
                async for chunk in response.aiter_bytes():
                    file.write(chunk)
                    digest.update(chunk)
                    received += len(chunk)
                    on_bytes(len(chunk))
        if digest.hexdigest() != jar.sha256:
            raise Corrupt(f"its SHA-256 is {digest.hexdigest()}, the lock says {jar.sha256}")
        unfinished.replace(target)
    except BaseException:
        on_bytes(-received)
        raise
    finally:
        unfinished.unlink(missing_ok=True)


def _has_size(file: Path, size: int) -> bool:
    try:
        return file.stat().st_size == size
    except FileNotFoundError:
        return False


def _sha256(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except FileNotFoundError:
        return ""

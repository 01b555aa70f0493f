"""A hash lock and a Maven repository in -> verified jars in the cache that all stacks share."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from pathlib import Path
from secrets import token_hex

import httpx2

from compose.embedded.jars import Jar, jar_folder, missing
from compose.embedded.locks import hold
from compose.errors import CommandFailed

PARALLEL = 8
TRIES = 5
FIRST_PAUSE_SECONDS = 0.5
TIMEOUT = httpx2.Timeout(30, connect=15)

OnBytes = Callable[[int], None]  #: called with each received (or, on a retry, withdrawn) size


class Corrupt(Exception):
    """The repository sent other bytes than the lock names."""


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

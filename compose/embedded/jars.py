"""The lock of Kafka's and S3Proxy's jars, and what of it the cache holds."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from schemas.common import Value

LOCK = Path(__file__).with_name("jars.lock.json")


class Jar(Value):
    path: str  #: below the repository's address and below the cache alike
    size: int
    sha256: str


class JarLock(Value):
    kafka: tuple[Jar, ...]
    s3: tuple[Jar, ...]


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

"""The one module that knows S3's driver: bytes in under a key, bytes out whole or in part."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, Self

import aioboto3
from aiohttp import ClientError as BrokenTransfer
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from schemas.common import Value
from services.errors import NotFound, RangeNotSatisfiable, Unavailable
from services.settings import S3Settings

CHUNK: Final = 64 * 1024  #: bytes

_BROKEN = (BotoCoreError, BrokenTransfer, OSError, TimeoutError)
_ABSENT = {"NoSuchKey", "404", "NotFound"}  # a bucket that is gone is an outage: it can come back
_OURS_ALREADY = frozenset({"BucketAlreadyOwnedByYou"})


class StoredObject(Value):
    """What S3 says of an object; `size` is of the whole, `content_range` of a part."""

    size: int
    content_length: int
    content_type: str
    sha256: str | None = None
    content_range: str | None = None


class ObjectStream:
    """An object's facts, and its bytes in chunks."""

    def __init__(self, facts: StoredObject, body: Any) -> None:  # noqa: ANN401
        self.facts = facts
        self._body = body

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._body.iter_chunks(CHUNK):
                yield chunk
        except _BROKEN as error:
            raise Unavailable("The object store stopped answering") from error


class S3ObjectStore:
    """One bucket through one long-lived client. Raises `NotFound` and `Unavailable`."""

    def __init__(self, client: Any, bucket: str) -> None:  # noqa: ANN401
        self._client = client  # aioboto3 has no types
        self._bucket = bucket

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: S3Settings) -> AsyncIterator[Self]:
        """Connects at the first call, so that a process starts while S3 is away."""
        secret = settings.aws_secret_access_key
        async with aioboto3.Session().client(
            "s3",
            endpoint_url=settings.endpoint_url,
            region_name=settings.region_name,
            aws_access_key_id=settings.aws_access_key_id,
            aws_secret_access_key=secret.get_secret_value() if secret else None,
            config=_CONFIG,
        ) as client:
            yield cls(client, settings.bucket)

    async def put(self, key: str, content: bytes, content_type: str, sha256: str) -> None:
        """Return when the object is stored; the same bytes again change nothing."""
        with _translated():
            await self._client.put_object(
                Bucket=self._bucket,
                Key=key,
                Body=content,
                ContentType=content_type,
                Metadata={"sha256": sha256},
            )

    async def get(self, key: str) -> bytes:
        async with self.stream(key) as found:
            return b"".join([chunk async for chunk in found.chunks()])

    async def head(self, key: str) -> StoredObject:
        with _translated():
            return _facts(await self._client.head_object(Bucket=self._bucket, Key=key))

    @asynccontextmanager
    async def stream(self, key: str, byte_range: str | None = None) -> AsyncIterator[ObjectStream]:
        """`byte_range` as in the HTTP header ("bytes=0-99"); raise `RangeNotSatisfiable`."""
        part = {} if byte_range is None else {"Range": byte_range}
        with _translated():
            answer = await self._client.get_object(Bucket=self._bucket, Key=key, **part)
        body = answer["Body"]
        async with body:  # its __aenter__ gives aiohttp's response, which has no chunks
            yield ObjectStream(_facts(answer), body)

    async def delete(self, key: str) -> None:
        """An object that isn't there is no error."""
        with _translated():
            await self._client.delete_object(Bucket=self._bucket, Key=key)

    async def ping(self) -> None:
        """Raise unless the bucket can be reached now."""
        with _translated():
            await self._client.head_bucket(Bucket=self._bucket)

    async def ensure_bucket(self) -> None:
        try:
            await self.ping()
        except NotFound:
            with _translated(ignoring=_OURS_ALREADY):
                await self._client.create_bucket(Bucket=self._bucket)


# path style and "when_required" checksums: every S3 that isn't AWS needs them
_CONFIG = Config(
    signature_version="s3v4",
    s3={"addressing_style": "path"},
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
    connect_timeout=3,
    read_timeout=20,
    retries={"mode": "standard", "total_max_attempts": 3},
    max_pool_connections=32,
)


@contextmanager
def _translated(ignoring: frozenset[str] = frozenset()) -> Iterator[None]:
    """botocore's errors as ours."""
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in ignoring:
            return
        if code in _ABSENT:
            raise NotFound from error
        if code in {"InvalidRange", "416"}:
            raise RangeNotSatisfiable from error
        raise Unavailable(f"The object store refused: {code}") from error
    except _BROKEN as error:
        raise Unavailable("The object store does not answer") from error


def _facts(answer: dict[str, Any]) -> StoredObject:
    length = int(answer["ContentLength"])
    content_range = answer.get("ContentRange")
    return StoredObject(
        size=int(content_range.rpartition("/")[2]) if content_range else length,
        content_length=length,
        content_type=answer.get("ContentType", "application/octet-stream"),
        sha256=answer.get("Metadata", {}).get("sha256"),
        content_range=content_range,
    )

"""Events in, acknowledged by the broker: one idempotent producer, replaced when it breaks."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from ssl import SSLContext, create_default_context
from typing import Any, Self

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from schemas.cloudevents import CONTENT_TYPE
from schemas.topics import DEAD_LETTERS, Topic
from services.settings import KafkaSettings

log = structlog.get_logger()

#: What a publisher waits out: the broker is away or the producer spent, not the message wrong.
BROKER_OUTAGES = (KafkaError, OSError, TimeoutError)


def client_settings(settings: KafkaSettings) -> dict[str, Any]:
    """What every aiokafka client of ours is opened with."""
    password = settings.sasl_plain_password
    return {
        "bootstrap_servers": settings.bootstrap_servers,
        "ssl_context": _ssl_context(settings),
        "security_protocol": settings.security_protocol,
        "sasl_mechanism": settings.sasl_mechanism,
        "sasl_plain_username": settings.sasl_plain_username,
        "sasl_plain_password": password.get_secret_value() if password else None,
    }


def _ssl_context(settings: KafkaSettings) -> SSLContext | None:
    if not settings.security_protocol.endswith("SSL"):
        return None
    cafile = settings.ssl_cafile
    return create_default_context(cafile=str(cafile) if cafile else None)


class Publisher:
    """Publishes with acks=all; a producer that broke is closed and made anew (aiokafka #1017)."""

    def __init__(self, settings: KafkaSettings, *, linger_ms: int = 0) -> None:
        self._settings = settings
        self._linger_ms = linger_ms
        self._producer: Any = None  # aiokafka has no types
        self._opening = asyncio.Lock()

    @property
    def prefix(self) -> str:
        """What is put before every topic's name."""
        return self._settings.topic_prefix

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: KafkaSettings, *, linger_ms: int = 0) -> AsyncIterator[Self]:
        """Connects at the first publication, so that a process starts while the broker is away."""
        publisher = cls(settings, linger_ms=linger_ms)
        try:
            yield publisher
        finally:
            await publisher._discard(publisher._producer)

    async def publish(
        self, topic: Topic, key: str, value: bytes, headers: tuple[tuple[str, bytes], ...] = ()
    ) -> None:
        """Return when the broker has acknowledged; raise one of `BROKER_OUTAGES` otherwise."""
        typed = (("content-type", CONTENT_TYPE.encode()), *headers)
        await self.publish_again(self.prefix + topic.name, key.encode(), value, typed)

    async def publish_again(
        self, topic: str, key: bytes | None, value: bytes, headers: tuple[tuple[str, bytes], ...]
    ) -> None:
        """As `publish`, of a message as it was: nothing is added, the topic has its prefix."""
        producer = await self._connected()
        try:
            await producer.send_and_wait(topic, value=value, key=key, headers=list(headers))
        except MessageSizeTooLargeError:
            raise
        except BROKER_OUTAGES:
            await self._discard(producer)
            raise

    async def ping(self) -> None:
        """Raise one of `BROKER_OUTAGES` unless a broker answers now."""
        producer = await self._connected()
        await producer.client.fetch_all_metadata()

    async def _connected(self) -> Any:  # noqa: ANN401
        async with self._opening:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    **client_settings(self._settings),
                    acks="all",
                    enable_idempotence=True,
                    linger_ms=self._linger_ms,
                    max_request_size=DEAD_LETTERS.max_message_bytes,
                    request_timeout_ms=10_000,
                    retry_backoff_ms=100,
                )
                try:
                    await producer.start()
                except BaseException:
                    with suppress(Exception):
                        await producer.stop()
                    raise
                self._producer = producer
            return self._producer

    async def _discard(self, producer: Any) -> None:  # noqa: ANN401
        if producer is None:
            return
        if self._producer is producer:
            self._producer = None
            log.info("producer_closed")
        with suppress(*BROKER_OUTAGES):
            async with asyncio.timeout(5):
                await producer.stop()

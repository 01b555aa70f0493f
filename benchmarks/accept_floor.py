"""The least that accepting can cost: the same durable writes by raw drivers, and raw ASGI.

`uvicorn benchmarks.accept_floor:create_app --factory`. A job of ours must be in the database: its
document and its command, with new ids, are what is written here.
"""

from contextlib import AsyncExitStack
from typing import Any

import uuid_utils.compat
from aiokafka import AIOKafkaProducer
from starlette.types import Receive, Scope, Send

from schemas.cloudevents import CONTENT_TYPE
from schemas.common import now
from schemas.jobs import Job
from schemas.topics import GENERATION_COMMANDS
from services.broker import client_settings
from services.dispatch import command_of
from services.mongo import Document, open_mongo
from services.settings import Settings
from services.signing import HEADER, Signer

HEADERS = [(b"content-type", b"application/json")]


class Floor:
    """One look-up by _id, one majority insert, one acknowledged idempotent send."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topic = settings.kafka.topic_prefix + GENERATION_COMMANDS.name
        self._stack = AsyncExitStack()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["method"] == "POST":
            await self._accept(receive, send)
        else:
            await _answer(send, 200, b"{}")

    async def _accept(self, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        await self._keys.find_one({"_id": self._key_id})
        job = uuid_utils.compat.uuid7()
        await self._jobs.insert_one({**self._document, "_id": job, "run": job, "created_at": now()})
        await self._producer.send_and_wait(
            self._topic, self._command, key=str(job).encode(), headers=self._headers
        )
        await _answer(send, 202, b'{"job_id":"%s","status":"pending"}' % str(job).encode())

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await self._open()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._stack.aclose()
        await send({"type": "lifespan.shutdown.complete"})

    async def _open(self) -> None:
        mongo = await self._stack.enter_async_context(open_mongo(self._settings.mongo))
        self._jobs, self._keys = mongo.jobs, mongo.keys
        self._document: Document = await mongo.jobs.find_one({}) or {}
        self._key_id = (await mongo.keys.find_one({}) or {})["_id"]
        self._command = command_of([Job.model_validate(self._document)]).encode()
        signature = Signer(self._settings.master_secret.get_secret_value()).sign(self._command)
        self._headers = [("content-type", CONTENT_TYPE.encode()), (HEADER, signature.encode())]
        self._producer: Any = AIOKafkaProducer(
            **client_settings(self._settings.kafka), acks="all", enable_idempotence=True
        )
        await self._producer.start()
        self._stack.push_async_callback(self._producer.stop)


async def _answer(send: Send, status: int, body: bytes) -> None:
    headers = [*HEADERS, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def create_app() -> Floor:
    return Floor(Settings())

"""Studio over HTTP on a real MongoDB, with jobs that end when a test says so."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import httpx2
from starlette.testclient import TestClient

from api.app import create_app
from schemas.images import Image
from services.accounts import Keys
from services.mongo import Mongo, open_mongo
from services.settings import Settings
from services.signing import Signer
from tests.connected import library_parts
from tests.connected.projection_parts import stored_job

GENERATIONS, FLOWS, IMAGES = "/api/v1/generations", "/api/v1/flows", "/api/v1/images"
PROMPT = "a red circle on a blue background"


class Studio:
    """One project and a client with a key of it."""

    def __init__(self, client: TestClient, mongo: Mongo, project: str, key: str) -> None:
        self.client = client
        self.mongo = mongo
        self.project = project
        self.headers = {"x-api-key": key}

    def ask(self, method: str, path: str, **sent: Any) -> httpx2.Response:
        sent["headers"] = self.headers | sent.get("headers", {})
        return self.client.request(method, path, **sent)

    def data(self, method: str, path: str, **sent: Any) -> Any:
        """Of an answer that says that it succeeded."""
        answer = self.ask(method, path, **sent)
        assert answer.status_code in (200, 201), answer.text
        assert answer.json()["success"] is True
        return answer.json()["data"]

    def refused(self, method: str, path: str, **sent: Any) -> tuple[int, str]:
        """Status and message of a refusal in studio's shape."""
        answer = self.ask(method, path, **sent)
        assert answer.json()["success"] is False, answer.text
        return answer.status_code, answer.json()["error"]["message"]

    def generation(self, **body: Any) -> dict[str, Any]:
        """One that was just asked for."""
        made: dict[str, Any] = self.data("POST", GENERATIONS, json={"prompt": PROMPT, **body})
        return made

    async def made(self, **body: Any) -> dict[str, Any]:
        """One that has its picture."""
        return await self.end(self.generation(**body)["id"])

    async def end(self, generation: str) -> dict[str, Any]:
        await library_parts.completed(self.mongo, await stored_job(self.mongo, UUID(generation)))
        ended: dict[str, Any] = self.data("GET", f"{GENERATIONS}/{generation}")
        return ended

    async def fail(self, generation: str) -> None:
        await library_parts.failed(self.mongo, await stored_job(self.mongo, UUID(generation)))

    async def uploaded(self, **facts: Any) -> Image:
        return await library_parts.uploaded(self.mongo, self.project, **facts)


@asynccontextmanager
async def studio_api(settings: Settings) -> AsyncIterator[tuple[TestClient, Mongo]]:
    async with open_mongo(settings.mongo) as mongo:
        with TestClient(create_app(settings=settings)) as client:
            yield client, mongo


async def new_studio(
    api: tuple[TestClient, Mongo], settings: Settings, limit: str | None = None
) -> Studio:
    """A project that no other test sees."""
    client, mongo = api
    signer = Signer(settings.master_secret.get_secret_value())
    key = await Keys(mongo, signer).create(f"test-{uuid4()}", limit=limit)
    return Studio(client, mongo, key.project, key.key)

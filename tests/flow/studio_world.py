"""A project of studio while its documents are gone through: what is asked, what comes of it."""

from io import BytesIO
from typing import Any, Final

import httpx2
from PIL import Image as Pixels

from tests.flow.product import Product, wait_for

GENERATION: Final = "/api/v1/generations"
FLOW: Final = "/api/v1/flows"
IMAGE: Final = "/api/v1/images"
DRAFT: Final = {"prompt": "a red circle", "quality": "draft"}


class World:
    """`values` are what a document leaves open, filled while its requests are answered."""

    def __init__(self, product: Product, client: httpx2.Client) -> None:
        self.product = product
        self.client = client
        self.values: dict[str, str] = {}

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The data of an answer that is a success."""
        headers = {"X-API-Key": self.product.access["api_key"]}
        url = self.product.access["url"] + path
        answer = self.client.request(method, url, json=body, headers=headers)
        assert answer.status_code < 300, answer.text
        return answer.json()["data"]

    def finished(self, generation: str) -> Any:
        """The generation, once it has its picture."""

        def ended() -> Any:
            shown = self.ask("GET", f"{GENERATION}/{generation}")
            return shown if shown["status"] in ("success", "failed") else None

        shown = wait_for(ended, "a picture", 120)
        assert shown["status"] == "success", shown["error"]
        return shown

    def made(self, **body: Any) -> Any:
        return self.finished(self.ask("POST", GENERATION, {**DRAFT, **body})["id"])


def data(answer: httpx2.Response) -> Any:
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert body["success"] is True
    return body["data"]


def png() -> bytes:
    file = BytesIO()
    Pixels.new("RGB", (64, 32), "red").save(file, "PNG")
    return file.getvalue()

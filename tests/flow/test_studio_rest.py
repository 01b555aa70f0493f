"""Every request of studio's `.rest` document, in its order, against the running product."""

from collections.abc import Callable
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import httpx2
import pytest
from PIL import Image as Pixels

from tests.flow.multipart import form
from tests.flow.product import Product
from tests.flow.rest_file import Request, requests
from tests.flow.studio_world import FLOW, GENERATION, IMAGE, World, data, png

pytestmark = [pytest.mark.flow, pytest.mark.timeout(600)]

DOCUMENT: Final = requests((Path(__file__).parent / "documents" / "studio.rest").read_text())
PROMPT = "A majestic eagle soaring over snow-capped mountains"
FIRST_ID = "e14e0cc1-b3bc-4841-a6dc-f42c842d8d86"  #: the one that the document's author got


def sent(world: World, request: Request) -> httpx2.Response:
    request = request.filled(world.values)
    if "multipart/form-data" in request.headers.get("Content-Type", ""):
        return request.sent(world.client, content=form(request.body, png()))
    return request.sent(world.client)


Check = Callable[[World, httpx2.Response], None]


def test_every_request_is_answered_as_documented(product: Product) -> None:
    assert [request.title for request in DOCUMENT] == list(ANSWERS)

    with httpx2.Client(timeout=60) as client:
        world = World(product, client)
        spare, first, second = [world.made() for _ in range(3)]
        world.values = {
            "{{base}}": product.access["url"],
            "{{apiKey}}": product.access["api_key"],
            "generation-uuid-here": spare["id"],
            "image-uuid-here": first["outputImageId"],
            "another-image-uuid": second["outputImageId"],
        }
        for request in DOCUMENT:
            status_code, check = ANSWERS[request.title]
            answer = sent(world, request)
            assert answer.status_code == status_code, f"{request.title}: {answer.text[:500]}"
            check(world, answer)


def page(answer: httpx2.Response) -> Any:
    found = data(answer)
    told = answer.json()["pagination"]
    assert set(told) == {"limit", "offset", "total", "hasMore"}
    assert (told["limit"], told["offset"]) == (20, 0)
    assert len(found) == min(told["total"], 20)
    assert told["hasMore"] == (told["total"] > 20)
    times = [datetime.fromisoformat(each["createdAt"]) for each in found]
    assert times == sorted(times, reverse=True)
    return found


def generation_created(world: World, answer: httpx2.Response) -> None:
    made = data(answer)
    assert answer.headers["location"] == f"{GENERATION}/{made['id']}"
    assert (made["prompt"], made["aspectRatio"], made["status"]) == (PROMPT, "16:9", "pending")
    assert (made["alias"], made["flowAlias"]) == ("@eagle-hero", "@hero")
    assert made["autoEnhance"] is True
    assert made["meta"] == {"tags": ["demo", "nature"]}
    assert world.ask("GET", f"{FLOW}/{made['flowId']}")["generationCount"] == 1
    world.values[FIRST_ID] = made["id"]
    world.finished(made["id"])


def generations_listed(world: World, answer: httpx2.Response) -> None:
    found = page(answer)
    assert {each["status"] for each in found} == {"success"}
    assert world.values[FIRST_ID] in [each["id"] for each in found]


def generation_shown(world: World, answer: httpx2.Response) -> None:
    made = data(answer)
    image = made["outputImage"]
    assert (made["id"], made["status"]) == (world.values[FIRST_ID], "success")
    assert image["alias"] == "@eagle-hero"
    assert image["width"] > image["height"]
    assert made["enhancedPrompt"].startswith(PROMPT)
    assert made["processingTimeMs"] > 0
    picture = world.client.get(image["url"])
    assert picture.content.startswith(b"\x89PNG")
    assert picture.headers["cache-control"] == "public, max-age=31536000, immutable"
    pixels = Pixels.open(BytesIO(picture.content))
    assert pixels.size == (image["width"], image["height"])


def generation_retried(world: World, answer: httpx2.Response) -> None:
    again = data(answer)
    before = again["outputImageId"]
    assert again["id"] == world.values[FIRST_ID]
    assert (again["status"], again["retryCount"]) == ("pending", 1)
    assert before is not None
    assert world.finished(again["id"])["outputImageId"] != before
    assert world.ask("GET", f"{IMAGE}/{before}")["alias"] is None


def generation_deleted(world: World, answer: httpx2.Response) -> None:
    deleted = data(answer)
    assert set(deleted) == {"id", "deletedAt"}
    assert deleted["id"] == world.values["generation-uuid-here"]


def flow_created(world: World, answer: httpx2.Response) -> None:
    begun = data(answer)
    assert answer.headers["location"] == f"{FLOW}/{begun['id']}"
    assert begun["meta"] == {"name": "Product Images Campaign"}
    assert (begun["aliases"], begun["generationCount"], begun["imageCount"]) == ({}, 0, 0)
    world.values["flow-uuid-here"] = begun["id"]


def flows_listed(world: World, answer: httpx2.Response) -> None:
    assert page(answer)[0]["id"] == world.values["flow-uuid-here"]
    made = world.made(flowId=page(answer)[0]["id"])
    world.values["image of the flow"] = made["outputImageId"]


def flow_shown(world: World, answer: httpx2.Response) -> None:
    shown = data(answer)
    assert shown["id"] == world.values["flow-uuid-here"]
    assert (shown["generationCount"], shown["imageCount"]) == (1, 1)


def flow_generations(world: World, answer: httpx2.Response) -> None:
    (made,) = page(answer)
    assert made["outputImageId"] == world.values["image of the flow"]


def flow_images(world: World, answer: httpx2.Response) -> None:
    (image,) = page(answer)
    assert image["id"] == world.values["image of the flow"]
    assert image["flowId"] == world.values["flow-uuid-here"]


def aliases_updated(world: World, answer: httpx2.Response) -> None:
    assert data(answer)["aliases"] == {
        "@hero": world.values["image-uuid-here"],
        "@background": world.values["another-image-uuid"],
    }


def alias_deleted(world: World, answer: httpx2.Response) -> None:
    assert data(answer)["aliases"] == {"@background": world.values["another-image-uuid"]}


def flow_deleted(world: World, answer: httpx2.Response) -> None:
    """The upload that comes next names a flow that is there."""
    flow = world.values["flow-uuid-here"]
    assert data(answer) == {"id": flow}
    assert world.ask("GET", f"{IMAGE}/{world.values['image of the flow']}")["flowId"] is None
    world.values["flow-uuid-here"] = world.ask("POST", FLOW)["id"]


def image_uploaded(world: World, answer: httpx2.Response) -> None:
    image = data(answer)
    assert (image["source"], image["alias"]) == ("uploaded", "@product-hero")
    assert (image["width"], image["height"], image["mimeType"]) == (64, 32, "image/png")
    assert image["flowId"] == world.values["flow-uuid-here"]
    assert world.client.get(image["url"]).status_code == 200
    world.values["image-uuid-here"] = image["id"]


def images_listed(world: World, answer: httpx2.Response) -> None:
    found = page(answer)
    assert {each["source"] for each in found} == {"generated"}
    world.values["newest"] = found[0]["id"]


def alias_resolved(world: World, answer: httpx2.Response) -> None:
    found = data(answer)
    assert (found["scope"], found["flowId"]) == ("technical", None)
    assert found["image"]["id"] == world.values["newest"]


def image_shown(world: World, answer: httpx2.Response) -> None:
    shown = data(answer)
    assert (shown["id"], shown["alias"]) == (world.values["image-uuid-here"], "@product-hero")
    assert shown["url"].endswith(shown["relativePath"])


def image_updated(world: World, answer: httpx2.Response) -> None:
    shown = data(answer)
    assert shown["alias"] == "@new-alias"
    assert shown["focalPoint"] == {"x": 0.5, "y": 0.3}
    assert shown["meta"] == {"description": "Updated description"}


def alias_assigned(world: World, answer: httpx2.Response) -> None:
    assert data(answer)["alias"] == "@product-hero"
    found = world.ask("GET", f"{IMAGE}/resolve/%40product-hero")
    assert (found["scope"], found["image"]["id"]) == ("project", world.values["image-uuid-here"])


def image_deleted(world: World, answer: httpx2.Response) -> None:
    deleted = data(answer)
    assert set(deleted) == {"id", "deletedAt"}
    assert deleted["id"] == world.values["image-uuid-here"]


def picture_made(world: World, answer: httpx2.Response) -> None:
    headers = answer.headers
    assert headers["content-type"] == "image/png"
    assert answer.content.startswith(b"\x89PNG")
    assert headers["cache-control"] == "public, max-age=31536000"
    assert headers["x-cache-status"] == "MISS"
    assert "x-cache-hit-count" not in headers
    UUID(headers["x-generation-id"])
    again = sent(world, DOCUMENT[-1])
    assert again.content == answer.content
    assert again.headers["x-cache-status"] == "HIT"
    assert again.headers["x-cache-hit-count"] == "1"
    assert "x-generation-id" not in again.headers
    assert again.headers["x-image-id"] == headers["x-image-id"]


#: Each request's title -> its documented code, and what holds of its answer.
ANSWERS: Final[dict[str, tuple[int, Check]]] = {
    "Create Generation": (201, generation_created),
    "List Generations": (200, generations_listed),
    "Get Generation by ID": (200, generation_shown),
    "Retry Generation": (200, generation_retried),
    "Delete Generation": (200, generation_deleted),
    "Create Flow": (201, flow_created),
    "List Flows": (200, flows_listed),
    "Get Flow by ID": (200, flow_shown),
    "List Flow Generations": (200, flow_generations),
    "List Flow Images": (200, flow_images),
    "Update Flow Aliases": (200, aliases_updated),
    "Delete Flow Alias": (200, alias_deleted),
    "Delete Flow": (200, flow_deleted),
    "Upload Image": (201, image_uploaded),
    "List Images": (200, images_listed),
    "Resolve Alias": (200, alias_resolved),
    "Get Image by ID": (200, image_shown),
    "Update Image Metadata": (200, image_updated),
    "Assign Image Alias": (200, alias_assigned),
    "Delete Image": (200, image_deleted),
    "Generate with Prompt Caching": (200, picture_made),
}

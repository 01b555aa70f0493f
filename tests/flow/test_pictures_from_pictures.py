"""A picture that starts from another, through the running product; and made again to prove it."""

from io import BytesIO
from typing import Any

import httpx2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.flow.product import Product

pytestmark = [pytest.mark.flow, pytest.mark.timeout(600)]

GENERATIONS = "/api/v1/generations"
PROMPT = "a red circle on a blue background"


def square() -> bytes:
    """A white square in the middle of dark green."""
    image = Image.new("RGB", (300, 300), "darkgreen")
    image.paste("white", (75, 75, 225, 225))
    content = BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


def generated(client: httpx2.Client, **body: Any) -> dict[str, Any]:
    headers = {"Prefer": "wait=60"}
    asked = {"prompt": PROMPT, "autoEnhance": False, "seed": 7, **body}
    answer = client.post(GENERATIONS, json=asked, headers=headers, timeout=90)
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()["data"]
    assert shown["status"] == "success", shown["error"]
    return shown


def pixels(client: httpx2.Client, generation: dict[str, Any]) -> NDArray[np.float64]:
    file = client.get(generation["outputImage"]["url"]).content
    return np.asarray(Image.open(BytesIO(file)), dtype=np.float64)


def verified(client: httpx2.Client, generation: dict[str, Any]) -> Any:
    path = f"/api/v1/images/{generation['outputImageId']}/verify"
    answer = client.post(path, timeout=90)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def test_an_upload_steers_a_picture_and_every_picture_can_be_made_again(product: Product) -> None:
    with product.client() as client:
        file = {"file": ("square.png", square(), "image/png")}
        uploaded = client.post("/api/v1/images/upload", files=file, data={"alias": "@square"})
        assert uploaded.status_code == 201, uploaded.text
        reference = np.asarray(Image.open(BytesIO(square())).resize((256, 256)), dtype=np.float64)
        free = generated(client)
        steered = generated(client, referenceImages=["@square"])
        apart = [float(np.abs(pixels(client, each) - reference).mean()) for each in (steered, free)]
        jobs = client.get("/api/v1/images/jobs").json()["total"]
        images = client.get("/api/v1/images").json()["pagination"]["total"]

        same: dict[str, Any] = {"result": "identical", "psnr": None, "because": []}
        assert [verified(client, each) for each in (free, steered)] == [same, same]
        assert steered["referenceImages"][0]["id"] == uploaded.json()["data"]["id"]
        assert apart[0] < apart[1]
        assert client.get("/api/v1/images/jobs").json()["total"] == jobs, "no list shows it"
        assert client.get("/api/v1/images").json()["pagination"]["total"] == images

        refused = client.post(f"/api/v1/images/{uploaded.json()['data']['id']}/verify")
        assert refused.status_code == 400
        assert refused.json()["error"]["code"] == "cannot_verify"


def test_what_a_purged_picture_would_have_made_fails_with_the_reason(product: Product) -> None:
    with product.client() as client:
        file = {"file": ("square.png", square(), "image/png")}
        image = client.post("/api/v1/images/upload", files=file).json()["data"]["id"]
        steered = generated(client, referenceImages=[image])
        assert client.delete(f"/api/v1/images/{image}?permanent=true").status_code == 200

        answer = client.post(f"/api/v1/images/{steered['outputImageId']}/verify", timeout=90)

        assert answer.status_code == 400
        assert "purged" in answer.json()["error"]["message"]

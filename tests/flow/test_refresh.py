"""A name in a flow moves: what came of it is made again, in order, by the running product."""

from typing import Any

import httpx2
import pytest

from tests.flow.product import Product, wait_for

pytestmark = [pytest.mark.flow, pytest.mark.timeout(600)]

GENERATIONS, FLOWS = "/api/v1/generations", "/api/v1/flows"
ENDED = ("success", "failed")


class Studio:
    def __init__(self, client: httpx2.Client) -> None:
        self.client = client

    def data(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.client.request(method, path, json=body)
        assert answer.status_code < 300, answer.text
        return answer.json()["data"]

    def ended(self, generation: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            shown: dict[str, Any] = self.data("GET", f"{GENERATIONS}/{generation}")
            return shown if shown["status"] in ENDED else None

        shown: dict[str, Any] = wait_for(look, "a picture", 180)
        assert shown["status"] == "success", shown["error"]
        return shown

    def made(self, **body: Any) -> dict[str, Any]:
        asked = {"prompt": "a red circle", "quality": "draft", "seed": 3, **body}
        return self.ended(self.data("POST", GENERATIONS, asked)["id"])


def test_what_is_out_of_date_is_made_again_and_then_nothing_is(product: Product) -> None:
    with product.client() as client:
        studio = Studio(client)
        flow = studio.data("POST", FLOWS)["id"]
        hero = studio.made(flowId=flow, flowAlias="@hero")
        other = studio.made(flowId=flow, prompt="a blue square on a yellow background")
        scene = studio.made(flowId=flow, referenceImages=["@hero"], flowAlias="@scene")
        detail = studio.made(flowId=flow, referenceImages=["@scene"])
        path = f"{FLOWS}/{flow}"
        before = studio.data("GET", f"{path}/stale")["stale"]

        studio.data("PUT", f"{path}/aliases", {"aliases": {"@hero": other["outputImageId"]}})
        stale = [each["generationId"] for each in studio.data("GET", f"{path}/stale")["stale"]]
        begun = studio.data("POST", f"{path}/refresh")["generations"]
        anew = [studio.ended(generation) for generation in begun]
        after = studio.data("GET", f"{path}/stale")["stale"]

    assert hero["enhancedPrompt"] == "a red circle on a white background"
    assert (before, after) == ([], [])
    assert stale == begun == [scene["id"], detail["id"]]
    assert [shown["retryCount"] for shown in anew] == [1, 1]
    pictures = {shown["outputImageId"] for shown in (scene, detail, *anew)}
    assert len(pictures) == 4, "the old ones stay, and each run has made another"

"""Every TypeScript example of the blog's document, under Node, against the running product.

As printed, but for the variables that the document leaves to its reader: the client, ids, prompts,
`attempts`, the user's yes, and the body that it abbreviates as `{...}`.
"""

import json
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest

from tests.flow.product import Product
from tests.flow.typescript import blocks, interfaces, printed

pytestmark = [pytest.mark.flow, pytest.mark.timeout(600)]

DOCUMENT: Final = (Path(__file__).parent / "documents" / "blog.md").read_text()
(ASYNC, BATCH, HELPER, BEFORE, AFTER, DRAFT_FINAL, PROGRESS, TYPES, ERRORS) = blocks(DOCUMENT)
UNDECLARED: Final = """
const blogId = 'blog-1';
const blogImagePrompts = ['a red circle', 'a blue square'];
const userApproves = true;
let attempts = 0;
"""
WITH_HELPER: Final = UNDECLARED + HELPER
BODY: Final = "{ prompt: 'a red circle', quality: 'draft' }"
FAILING: Final = ERRORS.replace("{...}", BODY)


def picture(product: Product, url: str) -> bytes:
    assert url.startswith(f"{product.access['url']}/static/uploads/generated/")
    return httpx2.get(url).raise_for_status().content


def run(product: Product, folder: Path, code: str, *names: str) -> tuple[dict[str, Any], str]:
    return printed(folder, product.access, code, names)


@pytest.mark.parametrize(
    "code", [WITH_HELPER + ASYNC, BEFORE, WITH_HELPER + AFTER], ids=["quick", "before", "after"]
)
def test_a_submit_ends_with_a_url_that_serves_a_picture(
    product: Product, tmp_path: Path, code: str
) -> None:
    found, _ = run(product, tmp_path, code, "imageUrl")

    assert picture(product, found["imageUrl"]).startswith(b"\x89PNG")


def test_a_batch_s_jobs_all_end_with_pictures(product: Product, tmp_path: Path) -> None:
    found, _ = run(product, tmp_path, WITH_HELPER + BATCH, "results")

    urls = {result["images"][0]["url"] for result in found["results"]}
    assert len(urls) == 2
    assert all(picture(product, url) for url in urls)


def test_the_helper_gives_up_when_it_has_waited_long_enough(
    product: Product, tmp_path: Path
) -> None:
    code = "const said = await pollJobStatus('none', -1).catch((error) => error.message);"

    found, _ = run(product, tmp_path, WITH_HELPER + code, "said")

    assert found["said"] == "Job timeout"


def test_a_draft_is_shown_and_then_made_well(product: Product, tmp_path: Path) -> None:
    code = DRAFT_FINAL.replace("// Use final image", "var final = finalResult;")

    found, _ = run(product, tmp_path, WITH_HELPER + code, "draftResult", "final")

    first, last = found["draftResult"]["images"][0], found["final"]["images"][0]
    assert first["url"] != last["url"]


def test_the_progress_of_a_batch_is_shown(product: Product, tmp_path: Path) -> None:
    found, _ = run(product, tmp_path, WITH_HELPER + PROGRESS, "progress", "batch")

    assert [each["jobId"] for each in found["progress"]] == found["batch"]["data"]["job_ids"]
    assert {each["status"] for each in found["progress"]} <= {"queued", "processing", "completed"}
    assert all(0 <= each["progress"] <= 100 for each in found["progress"])


def test_errors_are_caught_as_documented_and_there_are_none(
    product: Product, tmp_path: Path
) -> None:
    _, said = run(product, tmp_path, WITH_HELPER + FAILING)

    assert said == ""


def test_a_refusal_is_an_error_with_a_response(product: Product, tmp_path: Path) -> None:
    _, said = run(product, tmp_path, WITH_HELPER + ERRORS.replace("{...}", "{ prompt: '' }"))

    assert "Image generation failed: Error: HTTP 422" in said


def test_every_reply_is_of_the_documented_type(product: Product) -> None:
    types = interfaces(TYPES)
    single = {"prompt": "a red circle", "quality": "draft"}
    batch = {"images": [single], "workflow": "draft_then_final"}
    with product.client() as client:
        submitted = client.post("/api/v1/images/generate-async", json=single).json()
        batched = client.post("/api/v1/images/batch-generate", json=batch)
        waiting = client.get(f"/api/v1/images/jobs/{submitted['job_id']}").json()
        ended = client.post(
            "/api/v1/images/generate-async", json=single, headers={"prefer": "wait=60"}
        )
        draft = client.get(f"/api/v1/images/jobs/{batched.json()['job_ids'][0]}").json()

    assert_is(types["ImageGenerationJobResponse"], submitted)
    assert_is(types["BatchImageGenerationResponse"], batched.json())
    for shown in (waiting, ended.json(), draft):
        assert_is(types["ImageJobStatusResponse"], shown)
    assert ended.json()["status"] == "completed"
    assert draft["final_job_id"]


def assert_is(fields: dict[str, tuple[bool, str]], reply: dict[str, Any]) -> None:
    for name, (optional, kind) in fields.items():
        assert optional or name in reply, f"{name} is missing from {json.dumps(reply)}"
        if name in reply:
            assert _fits(kind, reply[name]), f"{name}: {reply[name]!r} is no {kind}"


def _fits(kind: str, value: object) -> bool:
    if "'" in kind:  # one of some words
        return f"'{value}'" in kind
    python: dict[str, type | tuple[type, ...]] = {
        "string": str,
        "number": (int, float),
        "boolean": bool,
        "string[]": list,
        "{": dict,
    }
    return isinstance(value, python[kind])

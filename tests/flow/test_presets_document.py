"""Every example of the presets document, as printed but for the key and the port."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest

from tests.flow.product import Product, wait_for

pytestmark = [pytest.mark.flow, pytest.mark.timeout(300)]

DOCUMENT: Final = (Path(__file__).parent / "documents" / "presets.md").read_text()
ONE, THREE, AGAIN = re.findall(r"```bash\n(.*?)```", DOCUMENT, flags=re.DOTALL)
(PYTHON,) = re.findall(r"```python\n(.*?)```", DOCUMENT, flags=re.DOTALL)
_LISTED, _QUEUED, FINISHED = map(json.loads, re.findall(r"```json\n(.*?)```", DOCUMENT, re.DOTALL))
SETUP: Final = ONE.partition("\n\n")[0]
HOST, KEY = "http://localhost:5782", "your-key-here"


def filled(product: Product, block: str) -> str:
    """The port that it documents is `DARKROOM_PORT=5782`; here are several products at once."""
    return block.replace(HOST, product.access["url"]).replace(KEY, product.access["api_key"])


def typed(product: Product, block: str) -> str:
    return _printed("bash", "-euo", "pipefail", "-c", filled(product, block))


def _printed(*command: str) -> str:
    done = subprocess.run(
        command, env=os.environ, capture_output=True, text=True, check=False, timeout=200
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def finished(client: httpx2.Client, job: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        shown: dict[str, Any] = client.get(f"/api/v1/job/{job}").json()
        return shown if shown["status"] == "done" else None

    shown: dict[str, Any] = wait_for(look, f"job {job}", 200)
    return shown


def test_one_image_is_generated_and_waited_for(product: Product) -> None:
    printed = typed(product, ONE)

    lines, _, body = printed.partition("{")
    shown = json.loads("{" + body)
    states = re.findall(r"^Status: (\w+)$", lines, flags=re.MULTILINE)
    assert states[-1] == "done"
    assert set(states) <= {"pending", "processing", "done"}
    assert f"Job: {shown['id']}" in lines
    assert shown.keys() == FINISHED.keys()
    assert shown["result"].keys() == FINISHED["result"].keys()
    assert (shown["label"], shown["error"]) == (FINISHED["label"], None)
    named = r"presets/example_01/gen_[0-9a-f-]{36}\.png"
    assert re.fullmatch(named, shown["result"]["relative_path"])
    assert shown["result"]["image_url"] == f"/static/uploads/{shown['result']['relative_path']}"
    picture = httpx2.get(product.access["url"] + shown["result"]["image_url"])
    assert picture.content.startswith(b"\x89PNG"), "without authentication"


def test_three_images_come_with_extra_prompts(product: Product) -> None:
    queued = json.loads(typed(product, f"{SETUP}\n{THREE}"))

    assert [job["status"] for job in queued["jobs"]] == ["queued"] * 3
    with product.client() as client:
        seeds = [finished(client, job["job_id"])["result"]["seed"] for job in queued["jobs"]]
    assert seeds == [(seeds[0] + place) % 2**53 for place in range(3)]


def test_an_image_is_reproduced_by_its_seed(product: Product) -> None:
    jobs = [json.loads(typed(product, f"{SETUP}\n{AGAIN}"))["jobs"] for _ in range(2)]

    with product.client() as client:
        results = [finished(client, job["job_id"])["result"] for (job,) in jobs]
        files = [client.get(result["image_url"]).content for result in results]
    assert {result["seed"] for result in results} == {FINISHED["result"]["seed"]}
    assert files[0] == files[1]


def test_the_python_example_runs(product: Product) -> None:
    printed = _printed(sys.executable, "-c", filled(product, PYTHON))

    lines = printed.splitlines()
    assert lines[0].startswith("Available presets: ['Example Preset', ")
    assert re.fullmatch(r"Queued job: [0-9a-f-]{36}", lines[1])
    assert lines[-3] == "Status: done"
    assert lines[-2].startswith(f"Image: {product.access['url']}/static/uploads/presets/example_01")
    assert re.fullmatch(r"Seed: \d+", lines[-1])


def test_the_codes_are_as_documented(product: Product) -> None:
    generate = "/api/v1/generate/example_01"
    with httpx2.Client(base_url=product.access["url"], timeout=30) as stranger:
        assert stranger.post(generate).status_code == 401
        assert stranger.post(generate, headers={"X-API-Key": "wrong"}).status_code == 403
        assert stranger.get("/api/v1/presets?api_key=wrong").status_code == 403
        queried = stranger.get(f"/api/v1/presets?api_key={product.access['api_key']}")
        assert queried.status_code == 200
    with product.client() as client:
        assert client.post(generate, json={"count": 21}).status_code == 400
        assert client.post(generate, json={"width": 256}).status_code == 400
        assert client.post("/api/v1/generate/nothing").status_code == 404


def test_a_key_in_the_query_is_in_no_log_of_the_product(product: Product) -> None:
    logs = sorted((product.home / "logs").glob("*.log"))

    assert "api.log" in [log.name for log in logs]
    key = product.access["api_key"].encode()
    assert not [log.name for log in logs if key in log.read_bytes()]

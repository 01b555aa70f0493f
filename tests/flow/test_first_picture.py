"""What a newcomer does on the first day."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx2
import pytest
from PIL import Image

from tests.flow.product import Product, wait_for

pytestmark = [pytest.mark.flow, pytest.mark.timeout(400)]

SUBMIT = "/api/v1/images/generate-async"
JOBS = "/api/v1/images/jobs/"
PATIENCE = 30.0  #: seconds
KEPT_BY_HTTPX = 5  #: seconds of an idle connection; requests and browsers keep theirs longer
ORDER = {"pending": 0, "queued": 0, "processing": 1, "completed": 2, "failed": 2}


def test_up_ends_with_a_picture_a_url_and_a_key(product: Product) -> None:
    first = product.home / "first-picture.png"

    assert _size(first) == (256, 256)
    assert httpx2.get(f"{product.access['url']}/readyz").status_code == 200
    assert product.access["api_key"].startswith("dk_")


def test_generate_saves_a_png_that_holds_its_manifest(product: Product, tmp_path: Path) -> None:
    file = tmp_path / "x.png"

    done = json.loads(
        product.run("generate", "a red circle", "-o", str(file), "--seed", "7", "--json")
    )

    manifest = _manifest(file)
    assert done["status"] == "completed"
    assert (manifest["prompt"], manifest["seed"]) == ("a red circle", 7)
    assert done["result"]["images"][0]["seed"] == 7


def test_the_same_seed_gives_the_same_bytes(product: Product, tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.png" for number in range(2)]
    for file in files:
        product.run("generate", "a blue star", "-o", str(file), "--seed", "11")

    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_connection_that_is_kept_for_as_long_as_clients_do_is_answered(product: Product) -> None:
    address = urlsplit(product.access["url"])
    connection = HTTPConnection(str(address.hostname), address.port or 80)
    with closing(connection):
        for pause in (0, KEPT_BY_HTTPX + 1):
            time.sleep(pause)
            connection.request("GET", "/healthz")
            assert connection.getresponse().read()


def test_200_submits_polled_at_once_are_found_and_only_go_forward(product: Product) -> None:
    with ThreadPoolExecutor(50) as pool:
        seen = list(pool.map(_submit_and_watch, [product] * 200))

    for states in seen:
        ranks = [ORDER[state] for state, _ in states]
        percents = [percent for _, percent in states]
        assert ranks == sorted(ranks)
        assert percents == sorted(percents)
        assert states[-1][0] in ("completed", "failed"), "those that took too long were cancelled"
    assert sum(states[-1][0] == "completed" for states in seen) >= 20


def test_everything_is_still_there_after_down_and_up(product: Product, tmp_path: Path) -> None:
    with product.client() as client:
        job = _submit(client)
        done = wait_for(lambda: _ended(client, job), "the picture")
    product.down()
    product.up()

    with product.client() as client:
        again = client.get(JOBS + str(job)).json()
        picture = client.get(again["result"]["images"][0]["url"])

    assert again["result"]["images"][0]["seed"] == done["result"]["images"][0]["seed"]
    assert picture.status_code == 200
    assert picture.content.startswith(b"\x89PNG")


def _size(file: Path) -> tuple[int, int]:
    with Image.open(file) as picture:
        return (picture.width, picture.height)


def _manifest(file: Path) -> dict[str, Any]:
    with Image.open(file) as picture:
        found: dict[str, Any] = json.loads(picture.text["darkroom"])  # type: ignore[attr-defined]
        return found


def _submit_and_watch(product: Product) -> list[tuple[str, int]]:
    """Every state up to the last; what isn't done within `PATIENCE` is cancelled."""
    states: list[tuple[str, int]] = []
    began, cancelled = time.monotonic(), False
    with product.client() as client:
        job = _submit(client)
        while not states or ORDER[states[-1][0]] < 2:
            answer = client.get(JOBS + str(job))
            assert answer.status_code == 200, answer.text
            body = answer.json()
            states.append((body["status"], body["progress_percentage"]))
            if not cancelled and time.monotonic() > began + PATIENCE:
                cancelled = client.delete(JOBS + str(job)).status_code == 200
            assert time.monotonic() < began + 300
            time.sleep(0.2)
    return states


def _submit(client: httpx2.Client) -> UUID:
    body = {"prompt": "a red circle", "quality": "draft", "width": 256, "height": 256}
    answer = client.post(SUBMIT, json=body)
    assert answer.status_code == 202, answer.text
    return UUID(answer.json()["job_id"])


def _ended(client: httpx2.Client, job: UUID) -> dict[str, Any] | None:
    body: dict[str, Any] = client.get(JOBS + str(job)).json()
    return body if ORDER[body["status"]] == 2 else None

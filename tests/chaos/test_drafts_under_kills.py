"""A batch of 20 images with drafts while who makes, folds and sends them is killed at random."""

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.chaos.product_parts import ended, events_of, is_kind, tell, tiny_product
from tests.flow.product import TERMINAL, Product, wait_for

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]

IMAGES = 20
EVERY = 4.0  #: seconds between two kills
VICTIMS = ("generator", "generator-2", "projector", "outbox")
SUBMIT = "/api/v1/images/batch-generate"
JOBS = "/api/v1/images/jobs"
BODY = {
    "images": [
        {"prompt": f"picture {number}", "width": 256, "height": 256} for number in range(IMAGES)
    ],
    "workflow": "draft_then_final",
    "blog_id": "under-kills",
}


@pytest.fixture
def product(tmp_path: Path) -> Iterator[Product]:
    with tiny_product(tmp_path / "home", generators=2) as product:
        yield product


@contextmanager
def killing(product: Product, seed: int) -> Iterator[Counter[str]]:
    """One of `VICTIMS` at a time; which, is drawn."""
    killed: Counter[str] = Counter()
    over = threading.Event()
    drawn = random.Random(seed)

    def run() -> None:
        while not over.wait(EVERY):
            name = drawn.choice(VICTIMS)
            pid = product.processes()[name]["pid"]
            if pid is None:  # it is still down from the last time
                continue
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            killed[name] += 1

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


async def test_every_draft_and_every_final_is_made_once_with_one_seed(product: Product) -> None:
    seed = int(time.time())
    with product.client() as client, killing(product, seed) as killed:
        answer = client.post(SUBMIT, json=BODY)
        assert answer.status_code == 202, answer.text
        location = answer.headers["location"]
        batch: dict[str, Any] = wait_for(lambda: _over(client, location), "the batch", 600)

    tell(f"seed {seed}, killed {dict(killed)}")
    assert killed.total() >= 3, "nothing was put to the test"
    assert (batch["status"], batch["completed"], batch["failed"]) == ("completed", IMAGES, 0)
    drafts, finals = batch["jobs"][:IMAGES], batch["jobs"][IMAGES:]
    assert [job["job_id"] for job in drafts] == answer.json()["job_ids"]
    assert [job["final_job_id"] for job in drafts] == [job["job_id"] for job in finals]
    assert [job["is_draft"] for job in batch["jobs"]] == [True] * IMAGES + [False] * IMAGES
    assert [_seeds(job) for job in drafts] == [_seeds(job) for job in finals]
    assert len({job["result"]["images"][0]["url"] for job in batch["jobs"]}) == 2 * IMAGES

    jobs = {job["job_id"] for job in batch["jobs"]}
    records = await product.read("generation.events", lambda seen: ended(seen) >= jobs)
    events = [event for event in events_of(records) if event["subject"] in jobs]
    outcomes = Counter(event["data"]["run_id"] for event in events if is_kind(event, *TERMINAL))
    assert outcomes == dict.fromkeys(jobs, 1)
    _no_final_began_before_its_draft_ended(events, drafts)


def _over(client: httpx2.Client, location: str) -> Any:
    answer = client.get(location)
    assert answer.status_code == 200, answer.text
    return answer.json() if "retry-after" not in answer.headers else None


def _seeds(job: dict[str, Any]) -> list[int]:
    return [image["seed"] for image in job["result"]["images"]]


def _no_final_began_before_its_draft_ended(
    events: list[dict[str, Any]], drafts: list[dict[str, Any]]
) -> None:
    ends = {e["subject"]: e["time"] for e in events if is_kind(e, "completed")}
    begun = {e["subject"]: e["time"] for e in reversed(events) if is_kind(e, "started")}
    known = [job for job in drafts if job["final_job_id"] in begun]
    assert known, "no final's start was heard of"
    assert [job for job in known if begun[job["final_job_id"]] < ends[job["job_id"]]] == []

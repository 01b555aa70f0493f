"""`kill -9` of every process, one after the other, while pictures are asked for."""

import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable
from functools import partial
from uuid import UUID

import httpx2
import pytest

from tests.flow.product import TERMINAL, Product, Record, wait_for

pytestmark = [pytest.mark.flow, pytest.mark.timeout(600)]

VICTIMS = ("api", "generator", "projector", "outbox", "mongod", "kafka", "s3")
SUBMIT = "/api/v1/images/generate-async"


class LightLoad:
    """A job every half second; what was answered 202 is what must be kept."""

    def __init__(self, product: Product) -> None:
        self.accepted: list[UUID] = []
        self._product = product
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "LightLoad":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        body = {"prompt": "a red circle", "quality": "draft", "width": 256, "height": 256}
        with self._product.client() as client:
            while not self._stop.wait(0.5):
                try:
                    answer = client.post(SUBMIT, json=body)
                except httpx2.HTTPError:
                    continue
                if answer.status_code == 202:
                    self.accepted.append(UUID(answer.json()["job_id"]))


async def test_each_comes_back_and_every_accepted_job_ends_once(product: Product) -> None:
    with LightLoad(product) as load:
        for victim in VICTIMS:
            _kill(product, victim)
            wait_for(_more_than(load, len(load.accepted) + 2), f"submits after {victim}")

    jobs = {str(job) for job in load.accepted}
    with product.client() as client:
        for job in jobs:
            wait_for(partial(_completed, client, job), f"job {job}", seconds=120)
    records = await product.read("generation.events", lambda seen: _ended(seen) >= jobs)
    terminal = Counter(
        event["data"]["run_id"]
        for event in {r.value: json.loads(r.value or b"{}") for r in records}.values()
        if event["type"].split(".")[-2] in TERMINAL
    )
    assert {count for run, count in terminal.items() if run in jobs} == {1}


def _more_than(load: LightLoad, accepted: int) -> Callable[[], bool]:
    return lambda: len(load.accepted) > accepted


def _kill(product: Product, victim: str) -> None:
    """Return when another process of that name is ready."""
    before = product.processes()[victim]
    os.kill(before["pid"], signal.SIGKILL)
    wait_for(lambda: _is_back(product, victim, before["pid"]), f"{victim} to come back", 90)


def _is_back(product: Product, victim: str, killed: int) -> bool:
    process = product.processes()[victim]
    ready = process["ready"] and process["restarts"]
    return bool(ready and process["pid"] not in (None, killed))


def _completed(client: httpx2.Client, job: str) -> bool:
    answer = client.get(f"/api/v1/images/jobs/{job}")
    assert answer.status_code != 404
    return answer.status_code == 200 and answer.json()["status"] == "completed"


def _ended(records: list[Record]) -> set[str]:
    events = [json.loads(record.value or b"{}") for record in records]
    return {e["subject"] for e in events if e["type"].split(".")[-2] in TERMINAL}

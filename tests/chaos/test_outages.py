"""MongoDB or Kafka does not answer for a minute, under load: the documented answers, no loss."""

import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx2
import pytest

from tests.chaos.product_parts import ended, events_of, is_kind, tell, tiny_product
from tests.flow.product import TERMINAL, Product, wait_for

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]

OUTAGE = 60.0  #: seconds
SUBMIT = "/api/v1/images/generate-async"
POLL = "/api/v1/images/jobs/"
BODY = {"prompt": "a red circle", "quality": "draft", "width": 256, "height": 256}


@dataclass(frozen=True)
class Answer:
    asked_at: float
    seconds: float
    status: int
    retry_after: str | None
    job: str | None = None


@dataclass
class Load:
    """Two submits and two polls a second, each from a thread that nothing ends."""

    product: Product
    submits: list[Answer] = field(default_factory=list)
    polls: list[Answer] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    @contextmanager
    def running(self) -> Iterator[None]:
        self._over = threading.Event()
        threads = [threading.Thread(target=work) for work in (self._submit, self._poll)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in threads:
                thread.join()

    @property
    def accepted(self) -> set[str]:
        return {answer.job for answer in self.submits if answer.job}

    def _submit(self) -> None:
        with self.product.client() as client:
            while not self._over.wait(0.5):
                self._note(self.submits, client, "POST", SUBMIT)

    def _poll(self) -> None:
        with self.product.client() as client:
            while not self._over.wait(0.5):
                if self.submits and (accepted := sorted(self.accepted)):
                    self._note(self.polls, client, "GET", POLL + accepted[-1])

    def _note(self, kept: list[Answer], client: httpx2.Client, method: str, path: str) -> None:
        asked_at = time.monotonic()
        try:
            reply = client.request(method, path, json=BODY if method == "POST" else None)
        except httpx2.HTTPError as error:
            self.broken.append(f"{method}: {error!r}")
            return
        job = reply.json()["job_id"] if (method, reply.status_code) == ("POST", 202) else None
        retry_after = reply.headers.get("retry-after")
        seconds = time.monotonic() - asked_at
        kept.append(Answer(asked_at, seconds, reply.status_code, retry_after, job))


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with tiny_product(tmp_path_factory.mktemp("outages") / "home", generators=2) as product:
        yield product


@pytest.fixture
def load(product: Product) -> Iterator[Load]:
    load = Load(product)
    with load.running():
        wait_for(lambda: len(load.accepted) >= 10, "a load")
        yield load


async def test_mongodb_away_is_a_503_in_time_and_costs_nothing(
    product: Product, load: Load
) -> None:
    began, over = silence(product, "mongod")

    during = [*between(load.submits, began, over), *between(load.polls, began, over)]
    figures("mongod", during)
    assert len(during) >= 10
    assert {answer.status for answer in during} == {503}
    assert all(answer.retry_after for answer in during)
    assert max(answer.seconds for answer in during) <= 5.0
    await everything_ends_once(product, load, over)


async def test_kafka_away_delays_what_is_accepted_and_refuses_nothing(
    product: Product, load: Load
) -> None:
    began, over = silence(product, "kafka")

    submits, polls = between(load.submits, began, over), between(load.polls, began, over)
    figures("kafka", submits)
    figures("kafka (polls)", polls)
    assert len(submits) >= 10
    assert {answer.status for answer in submits} == {202}
    assert {answer.status for answer in polls} == {200}
    assert max(answer.seconds for answer in submits) <= 5.0
    await everything_ends_once(product, load, over)


def silence(product: Product, name: str) -> tuple[float, float]:
    """Stop the process as it is: its port stays open and answers nobody."""
    pid = product.processes()[name]["pid"]
    over = threading.Event()
    began = time.monotonic()
    os.kill(pid, signal.SIGSTOP)
    try:
        over.wait(OUTAGE)
    finally:
        os.kill(pid, signal.SIGCONT)
    return began, began + OUTAGE


def between(answers: list[Answer], began: float, over: float) -> list[Answer]:
    """Those that were asked for and given while it lasted."""
    return [a for a in answers if a.asked_at >= began and a.asked_at + a.seconds <= over]


async def everything_ends_once(product: Product, load: Load, over: float) -> None:
    """Without a hand: what was accepted before, during and after has one outcome, a picture."""
    after = len(load.accepted)
    wait_for(lambda: len(load.accepted) >= after + 10, "submits after the outage", 120)
    tell(f"accepted again {_first_accepted(load, over):.1f} s after it")
    jobs = set(load.accepted)
    records = await product.read("generation.events", lambda seen: ended(seen) >= jobs, 240)
    outcomes = [e for e in events_of(records) if is_kind(e, *TERMINAL) and e["subject"] in jobs]

    tell(f"{len(jobs)} accepted, the last ended {time.monotonic() - over:.1f} s after it")
    tell("restarts:", {n: p["restarts"] for n, p in product.processes().items() if p["restarts"]})
    assert set(Counter(event["data"]["run_id"] for event in outcomes).values()) == {1}
    assert {event["type"].split(".")[-2] for event in outcomes} == {"completed"}
    assert json.loads(product.run("status", "--json"))["ready"]
    assert not load.broken


def _first_accepted(load: Load, over: float) -> float:
    return (
        min(answer.asked_at + answer.seconds for answer in load.submits if answer.asked_at > over)
        - over
    )


def figures(what: str, answers: list[Answer]) -> None:
    took = sorted(answer.seconds for answer in answers)
    tell(
        f"{what}: {dict(Counter(answer.status for answer in answers))},",
        f"median {took[len(took) // 2]:.2f} s, longest {took[-1]:.2f} s",
    )

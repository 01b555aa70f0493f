"""500 jobs of two projects on two generators, one of which is killed every 5 seconds."""

import os
import random
import signal
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from statistics import median

import httpx2
import pytest

from tests.chaos.product_parts import (
    Event,
    ended,
    events_of,
    is_kind,
    tell,
    tiny_product,
    unlimited_key,
)
from tests.flow.product import TERMINAL, Product

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1500)]

LARGE, SMALL = 480, 20  #: jobs
EVERY = 5.0  #: seconds between two kills
GENERATORS = ("generator", "generator-2")
BODY = {"prompt": "a red circle", "quality": "draft", "width": 256, "height": 256}
#: Runs of the large project that may begin out of turn: those that both generators hold when
#: the small one's come, and those whose tag was lower because the queue was emptier.
SLACK = 8
LEASE = 35.0  #: seconds until a dead worker's run is taken again: lease, sweep and backoff
PAUSE = 5.0  #: seconds without a sign of anybody's run: both generators are starting


class Killer:
    """Every 5 s one of the generators or the engine it has; the seed is printed."""

    def __init__(self, product: Product, seed: int) -> None:
        self.killed: Counter[str] = Counter()
        self._product = product
        self._random = random.Random(seed)
        self._over = threading.Event()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _run(self) -> None:
        while not self._over.wait(EVERY):
            name = self._random.choice(GENERATORS)
            pid = self._product.processes()[name]["pid"]
            if pid is None:  # it is still down from the last time
                continue
            engines = children(pid)
            if engines and self._random.random() < 0.5:
                name, pid = f"{name}'s engine", self._random.choice(engines)
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            self.killed[name] += 1


def children(pid: int) -> list[int]:
    try:
        return [
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]
    except FileNotFoundError:
        return []


@pytest.fixture
def product(tmp_path: Path) -> Iterator[Product]:
    with tiny_product(tmp_path / "home", generators=2) as product:
        yield product


async def test_every_run_ends_once_and_the_small_project_gets_its_share(product: Product) -> None:
    keys = {project: unlimited_key(product, project) for project in ("large", "small")}
    seed = int(time.time())
    killer = Killer(product, seed)
    with killer.at_work():
        jobs = submitted(product, keys["large"], LARGE)
        jobs |= submitted(product, keys["small"], SMALL)
        records = await product.read("generation.events", lambda seen: ended(seen) >= jobs, 1200)

    events = [event for event in events_of(records) if event["subject"] in jobs]
    outcomes = [event for event in events if is_kind(event, *TERMINAL)]
    tell(f"seed {seed}, killed {dict(killer.killed)}")
    tell("outcomes", Counter(event["type"].split(".")[-2] for event in outcomes))
    assert len(jobs) == LARGE + SMALL
    assert Counter(event["data"]["run_id"] for event in outcomes) == dict.fromkeys(jobs, 1)
    small_share_is_kept(events)


def submitted(product: Product, key: str, count: int) -> set[str]:
    headers = {"X-API-Key": key}
    with (
        httpx2.Client(base_url=product.access["url"], headers=headers, timeout=30) as client,
        ThreadPoolExecutor(8) as callers,
    ):
        replies = list(
            callers.map(
                lambda _: client.post("/api/v1/images/generate-async", json=BODY), range(count)
            )
        )
    assert {reply.status_code for reply in replies} == {202}
    return {reply.json()["job_id"] for reply in replies}


def small_share_is_kept(events: list[Event]) -> None:
    """With equal weights, of the runs that begin after it came every second one is its own.

    Runs whose first `started` nobody saw were killed before they could say it: they wait for
    their lease to expire, which is no question of shares; their number bounds them.
    """
    came = min(moment(e) for e in events if is_kind(e, "accepted") and e["projectid"] == "small")
    begun = {
        e["data"]["run_id"]: e
        for e in events
        if is_kind(e, "started") and e["data"]["attempt"] == 1
    }
    small = [moment(e) for e in begun.values() if e["projectid"] == "small"]
    last = max(small)
    meanwhile = sum(came <= moment(e) <= last for e in begun.values() if e["projectid"] == "large")
    tell(f"{len(small)} of the small project's runs were seen to begin at their first attempt;")
    tell(f"until the last did, {meanwhile} of the large one's began; fair: {SMALL} + {SLACK}")
    waits_are_short(events)
    assert len(small) >= SMALL // 2
    assert meanwhile <= SMALL + SLACK


def waits_are_short(events: list[Event]) -> None:
    """A small project's run waits for at most 2 x 20 runs, for pauses in which nobody was served
    because both generators were starting, and for the leases of its own dead workers."""
    accepted = {e["subject"]: moment(e) for e in events if is_kind(e, "accepted")}
    ends = [e for e in events if is_kind(e, *TERMINAL)]
    signs = sorted(moment(e) for e in events if is_kind(e, "started", *TERMINAL))
    pauses = [(a, b) for a, b in pairwise(signs) if (b - a).total_seconds() >= PAUSE]
    all_of_it = (signs[-1] - min(accepted.values())).total_seconds()
    paused = [(b - a).total_seconds() for a, b in pauses]
    each = (all_of_it - sum(paused)) / len(ends)
    tell(f"{len(ends)} runs in {all_of_it:.0f} s, {each:.2f} s a run beside {len(pauses)} pauses")
    tell(f"of {sum(paused):.0f} s together, the longest {max(paused, default=0):.0f} s")
    late = []
    for project in ("small", "large"):
        waits: dict[int, list[float]] = defaultdict(list)
        for end in ends:
            if end["projectid"] != project:
                continue
            began, ended_at, attempt = accepted[end["subject"]], moment(end), end["data"]["attempt"]
            waits[attempt].append((ended_at - began).total_seconds())
            idle = sum(shared(pause, (began, ended_at)) for pause in pauses)
            fair = 2 * SMALL * each + idle + PAUSE + (attempt - 1) * LEASE
            if project == "small" and waits[attempt][-1] > fair:
                late.append((waits[attempt][-1], fair))
        for attempt, seconds in sorted(waits.items()):
            tell(
                f"{project}, attempt {attempt}: {len(seconds)} runs,",
                f"median {median(seconds):.0f} s, longest {max(seconds):.0f} s",
            )
    assert not late, "waited, and what was fair"


def shared(one: tuple[datetime, datetime], other: tuple[datetime, datetime]) -> float:
    """Seconds."""
    both = min(one[1], other[1]) - max(one[0], other[0])
    return max(both.total_seconds(), 0.0)


def moment(event: Event) -> datetime:
    return datetime.fromisoformat(event["time"])

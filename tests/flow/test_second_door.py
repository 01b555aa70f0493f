"""A service that has never heard of our API gets its picture by writing to Kafka."""

import json
from typing import Any

import httpx2
import pytest

from tests.flow.product import Product, Record

pytestmark = [pytest.mark.flow, pytest.mark.timeout(200)]


async def test_only_what_can_be_read_and_admitted_becomes_a_picture(product: Product) -> None:
    good = [product.command(seed=1), product.command(seed=2)]
    too_wide = product.command(width=100_000)
    await product.produce(b"this is not JSON")
    await product.produce(json.dumps(product.command()).encode(), signed=False)
    await product.produce(_bytes(good[0]), _bytes(too_wide), _bytes(good[1]))

    refs = {command["subject"] for command in good}
    events = await product.read("generation.events", lambda seen: _completed(seen, refs) == refs)
    letters = await product.read("dead-letters", lambda seen: len(seen) >= 2)

    rejected = [event for event in _events(events) if event["type"].endswith("rejected.v1")]
    assert [event["data"]["clientref"] for event in rejected] == [too_wide["subject"]]
    assert rejected[0]["data"]["errors"][0]["pointer"] == "/data/jobs/0/width"
    assert {event["data"]["error"] for event in _events(letters)} == {"unreadable", "unsigned"}


async def test_a_picture_made_for_kafka_is_polled_and_fetched_like_any_other(
    product: Product,
) -> None:
    command = product.command(seed=5)
    await product.produce(_bytes(command))

    ref = {command["subject"]}
    events = _events(
        await product.read("generation.events", lambda seen: _completed(seen, ref) == ref)
    )
    job = next(e["subject"] for e in events if e["data"].get("clientref") in ref)
    done = next(e for e in events if e["subject"] == job and e["type"].endswith("completed.v1"))
    path = done["data"]["images"][0]["relative_path"]
    picture = httpx2.get(f"{product.access['url']}/static/uploads/{path}")

    types = [e["type"].split(".")[-2] for e in events if e["subject"] == job]
    assert types == ["accepted", "started", "completed"]
    assert picture.content.startswith(b"\x89PNG")
    with product.client() as client:
        assert client.get(f"/api/v1/images/jobs/{job}").status_code == 200


def _bytes(command: dict[str, Any]) -> bytes:
    return json.dumps(command).encode()


def _events(records: list[Record]) -> list[dict[str, Any]]:
    return [json.loads(record.value or b"{}") for record in records]


def _completed(records: list[Record], refs: set[str]) -> set[str]:
    """Which of the producers' own references have a picture."""
    events = _events(records)
    jobs = {e["subject"]: e["data"]["clientref"] for e in events if e["data"].get("clientref")}
    done = {e["subject"] for e in events if e["type"].endswith("completed.v1")}
    return {jobs[job] for job in done if job in jobs} & refs

"""`darkroom topics` and `darkroom events tail` against a real Kafka."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from typer import Typer
from typer.testing import CliRunner

from compose.cli import build
from compose.errors import CommandFailed
from schemas.jobs import Dialect, GenerationSpec, Job
from schemas.topics import GENERATION_EVENTS, TOPICS
from services.broker import Publisher
from services.settings import Settings
from tests.connected.own_stack import own_stack
from tests.connected.projection_parts import life

pytestmark = pytest.mark.connected


@pytest.fixture(scope="module")
async def settings(stack: Settings) -> Settings:
    return await own_stack(stack)


@pytest.fixture
def environment(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    set_here = {
        "DARKROOM_HOME": str(tmp_path),
        "DARKROOM_KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
        "DARKROOM_KAFKA__TOPIC_PREFIX": settings.kafka.topic_prefix,
    }
    for name, value in set_here.items():
        monkeypatch.setenv(name, value)
    return os.environ | set_here


async def publish(settings: Settings, *values: bytes) -> None:
    async with Publisher.open(settings.kafka) as publisher:
        for value in values:
            await publisher.publish(GENERATION_EVENTS, "key", value)


def new_job() -> Job:
    job = uuid4()
    spec = GenerationSpec(prompt="a red circle")
    return Job(id=job, run=job, project="demo", dialect=Dialect.BLOG, spec=spec)


async def run(name: str, *arguments: str) -> list[dict[str, Any]]:
    """In a thread: a command has an event loop of its own."""
    app: Typer = build(name)
    words = [name, *arguments, "--json"]
    result = await asyncio.to_thread(CliRunner().invoke, app, words, catch_exceptions=False)
    assert result.exit_code == 0
    return [json.loads(line) for line in result.stdout.splitlines()]


async def test_topics_are_listed_with_what_they_hold(
    settings: Settings, environment: dict[str, str]
) -> None:
    await publish(settings, b"one", b"two")

    lines = {line["name"]: line for line in await run("topics")}

    assert list(lines) == [topic.name for topic in TOPICS]
    events = lines["generation.events"]
    assert (events["partitions"], events["retention_seconds"]) == (12, None)
    assert events["records"] == sum(events["offsets"]) >= 2
    assert lines["generation.commands"]["retention_seconds"] == 30 * 24 * 3600


async def test_tail_ends_at_the_present_with_every_event_and_its_place(
    settings: Settings, environment: dict[str, str]
) -> None:
    job = new_job()
    events = life(job)
    await publish(settings, *(event.encode() for event in events), b"not JSON")

    lines = await run("events", "tail")

    ours = [line for line in lines if (line["event"] or {}).get("subject") == str(job.id)]
    assert [line["event"] for line in ours] == [json.loads(event.encode()) for event in events]
    assert {line["topic"] for line in ours} == {"generation.events"}
    assert [line["offset"] for line in ours] == list(
        range(ours[0]["offset"], ours[0]["offset"] + 4)
    )
    assert any(line["event"] is None for line in lines)


@pytest.mark.parametrize(
    ("types", "found"),
    [
        ("completed", ["completed"]),
        ("generation.started,generation.completed.v1", ["started", "completed"]),
        ("dev.darkroom.generation.progress.v1", ["progress"]),
        ("failed", []),
    ],
)
async def test_tail_shows_only_what_was_asked_for(
    settings: Settings, environment: dict[str, str], types: str, found: list[str]
) -> None:
    job = new_job()
    await publish(settings, *(event.encode() for event in (*life(job), *life(new_job()))))

    lines = await run("events", "tail", "--job", str(job.id), "--type", types)

    assert [line["event"]["type"].split(".")[-2] for line in lines] == found


async def test_tail_from_the_end_has_nothing_to_tell_of_the_past(
    settings: Settings, environment: dict[str, str]
) -> None:
    await publish(settings, life(new_job())[0].encode())

    assert await run("events", "tail", "--from", "end") == []


async def test_tail_follows_until_it_is_interrupted(
    settings: Settings, environment: dict[str, str]
) -> None:
    job = new_job()
    following = ["events", "tail", "-f", "--from", "beginning", "--json", "--job", str(job.id)]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "compose.cli",
        *following,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        preexec_fn=heed_interrupts,
    )
    assert process.stdout is not None

    for event in life(job):  # one after the other: each must come while it runs
        await publish(settings, event.encode())
        async with asyncio.timeout(30):
            line = json.loads(await process.stdout.readline())
        assert line["event"] == json.loads(event.encode())
    process.send_signal(signal.SIGINT)

    async with asyncio.timeout(30):
        assert await process.wait() == 0


def heed_interrupts() -> None:
    """Whoever runs in a shell's background ignores them, and so would its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


async def test_without_kafka_it_says_what_to_do(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DARKROOM_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")

    with pytest.raises(CommandFailed, match="does not answer") as failure:
        await run("events", "tail")
    assert "darkroom up" in failure.value.hint


async def test_without_topics_it_says_what_to_do(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DARKROOM_KAFKA__TOPIC_PREFIX", "nobody-made-these.")

    with pytest.raises(CommandFailed, match="does not exist") as failure:
        await run("topics")
    assert "darkroom migrate" in failure.value.hint

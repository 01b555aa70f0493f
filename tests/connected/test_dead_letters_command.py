"""`darkroom dead-letters` on a real Kafka: what was buried is found, sent again, put away."""

import asyncio
import base64
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer import Typer
from typer.testing import CliRunner

from compose.cli import build
from compose.errors import CommandFailed, UsageFailed
from schemas.topics import DEAD_LETTERS, GENERATION_COMMANDS
from services.broker import Publisher
from services.dead_letters import Header, bury
from services.errors import UnreadableMessage
from services.settings import Settings
from tests.connected.kafka_parts import tail_of
from tests.connected.own_stack import own_stack

pytestmark = pytest.mark.connected

BYTES = b"\x00not \xff text"
HEADERS = (("darkroom-signature", b"k:\xffxyz"), ("x", b""))


@pytest.fixture(scope="module")
async def settings(stack: Settings) -> Settings:
    return await own_stack(stack)


@pytest.fixture(autouse=True)
def environment(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "DARKROOM_HOME": str(tmp_path),
        "DARKROOM_KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
        "DARKROOM_KAFKA__TOPIC_PREFIX": settings.kafka.topic_prefix,
        "DARKROOM_MONGO__URL": settings.mongo.url.get_secret_value(),
        "DARKROOM_MONGO__DATABASE": settings.mongo.database,
    }.items():
        monkeypatch.setenv(name, value)


class Buried:
    """A message as a consumer had it."""

    def __init__(self, settings: Settings, value: bytes, key: bytes | None) -> None:
        self.topic = settings.kafka.topic_prefix + GENERATION_COMMANDS.name
        self.partition = 3
        self.timestamp = 0
        self.offset = int.from_bytes(os.urandom(4))
        self.key = key
        self.value: bytes | None = value
        self.headers: Sequence[Header] = HEADERS


async def letter(
    settings: Settings,
    value: bytes = BYTES,
    key: bytes | None = b"\xfe",
    error: str = "unsigned",
) -> str:
    """Its id."""
    message = Buried(settings, value, key)
    async with Publisher.open(settings.kafka) as publisher:
        await bury(publisher, message, UnreadableMessage(error, "there is no header"), "demo")
    lines = {line["offset"]: str(line["id"]) for line in await run("ls")}
    return lines[message.offset]


async def run(*arguments: str) -> list[dict[str, Any]]:
    """In a thread: a command has an event loop of its own."""
    app: Typer = build("dead-letters")
    words = ["dead-letters", *arguments, "--json"]
    result = await asyncio.to_thread(CliRunner().invoke, app, words, catch_exceptions=False)
    assert result.exit_code == 0
    return [json.loads(line) for line in result.stdout.splitlines()]


async def test_a_letter_is_shown_byte_for_byte(settings: Settings) -> None:
    (shown,) = await run("show", await letter(settings))

    assert base64.b64decode(shown["value"]) == BYTES
    assert base64.b64decode(shown["key"]) == b"\xfe"
    assert [(name, base64.b64decode(value)) for name, value in shown["headers"]] == [*HEADERS]
    assert (shown["text"], shown["error"], shown["project"]) == (None, "unsigned", "demo")


@pytest.mark.parametrize("key", [b"\xfe", None])
async def test_redrive_publishes_the_message_as_it_was_and_says_when(
    settings: Settings, key: bytes | None
) -> None:
    letter_id = await letter(settings, value=b"%d" % id(key), key=key)

    async with tail_of(settings, GENERATION_COMMANDS) as commands:
        (done,) = await run("redrive", letter_id)
        await commands.until(lambda seen: seen)

    (message,) = commands.seen
    assert (message.value, message.key) == (b"%d" % id(key), key)
    assert tuple(message.headers) == HEADERS
    listed = {line["id"]: line["redriven_at"] for line in await run("ls")}
    assert listed[letter_id] == done["redriven_at"] is not None


async def test_what_was_redriven_is_not_sent_twice_unless_asked_for(settings: Settings) -> None:
    letter_id = await letter(settings)
    await run("redrive", letter_id)

    with pytest.raises(UsageFailed, match="was redriven"):
        await run("redrive", letter_id)
    async with tail_of(settings, GENERATION_COMMANDS) as commands:
        await run("redrive", letter_id, "--again")
        await commands.until(lambda seen: seen)


async def test_dropped_letters_are_out_of_sight_and_kept(settings: Settings) -> None:
    letter_id = await letter(settings)

    await run("drop", letter_id)

    assert letter_id not in {line["id"] for line in await run("ls")}
    everything = {line["id"]: line for line in await run("ls", "--all")}
    assert everything[letter_id]["dropped_at"] is not None
    assert (await run("show", letter_id))[0]["bytes"] == len(BYTES)


async def test_pages_hold_every_letter_once_newest_first(settings: Settings) -> None:
    made = [await letter(settings, error="wrong_key") for _ in range(5)]

    pages = [await run("ls", "--error", "wrong_key", "--limit", "2")]
    while len(pages[-1]) == 2:
        last = pages[-1][-1]["id"]
        pages.append(await run("ls", "--error", "wrong_key", "--limit", "2", "--before", last))

    assert [line["id"] for page in pages for line in page] == made[::-1]


async def test_what_is_no_letter_on_the_topic_hides_no_other(settings: Settings) -> None:
    async with Publisher.open(settings.kafka) as publisher:
        await publisher.publish(DEAD_LETTERS, "key", b"nobody's letter")

    letter_id = await letter(settings)

    assert letter_id in {line["id"] for line in await run("ls")}


@pytest.mark.parametrize(
    ("name", "failure", "said"),
    [
        ("7", UsageFailed, "PARTITION:OFFSET"),
        ("generation.events:1:2", UsageFailed, "PARTITION:OFFSET"),
        ("dead-letters:0:99999999", CommandFailed, "There is no dead letter"),
        ("dead-letters:77:0", CommandFailed, "There is no dead letter"),
    ],
)
async def test_ids_that_name_nothing_say_so(
    name: str, failure: type[CommandFailed], said: str
) -> None:
    with pytest.raises(failure, match=said):
        await run("show", name)


async def test_of_several_ids_with_one_wrong_none_is_sent(settings: Settings) -> None:
    letter_id = await letter(settings)

    with pytest.raises(CommandFailed, match="There is no"):
        await run("redrive", letter_id, "dead-letters:0:99999999")

    (shown,) = await run("show", letter_id)
    assert shown["redriven_at"] is None

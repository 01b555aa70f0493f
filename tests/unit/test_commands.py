"""Kafka's bytes -> a trusted command, a dead letter or a rejection; and never anything else."""

import json
from datetime import timedelta
from typing import Any, cast
from uuid import uuid4

import pytest

from schemas.common import now
from schemas.events import GenerationCancelRequested, GenerationRequested
from schemas.keys import Key
from services.accounts import Keys
from services.commands import MOST_ERRORS, CommandReader, Inadmissible
from services.errors import UnreadableMessage
from services.producers import Headers
from services.signing import HEADER, OWN_KEY, Signer

SIGNER = Signer("a master secret of tests")
REQUESTED = "dev.darkroom.generation.requested.v1"
SECRET_TEXT = "nobody may see this prompt"


class FakeKeys:
    """The keys that tests name; each is a `Key` of project demo."""

    def __init__(self) -> None:
        common: dict[str, Any] = {"hash": "0" * 64, "project": "demo"}
        past = now() - timedelta(seconds=1)
        self.known = {
            "full": Key(id="full", **common),
            "reader": Key(id="reader", scopes=("read",), **common),
            "revoked": Key(id="revoked", revoked_at=past, **common),
            "expired": Key(id="expired", expires_at=past, **common),
        }

    async def find(self, key_id: str) -> Key | None:
        return self.known.get(key_id)


@pytest.fixture
def reader() -> CommandReader:
    return CommandReader(SIGNER, cast(Keys, FakeKeys()))


def message(job: dict[str, Any] | None = None, **attributes: Any) -> bytes:
    event = {
        "specversion": "1.0",
        "id": "order-17",
        "source": "/shop",
        "type": REQUESTED,
        "projectid": "demo",
        "data": {"jobs": [{"prompt": SECRET_TEXT, **(job or {})}]},
        **attributes,
    }
    return json.dumps({name: value for name, value in event.items() if value is not None}).encode()


def signed(value: bytes, key: str = "full") -> Headers:
    return ((HEADER, SIGNER.sign(value, key).encode()),)


async def refusal(reader: CommandReader, value: bytes | None, headers: Headers) -> str:
    with pytest.raises(UnreadableMessage) as refused:
        await reader.read(value, headers)
    assert SECRET_TEXT not in refused.value.message
    return refused.value.reason_code


async def test_a_signed_command_is_read_with_the_key_that_signed_it(reader: CommandReader) -> None:
    value = message()

    read = await reader.read(value, signed(value))

    assert isinstance(read.command, GenerationRequested)
    assert read.command.data.jobs[0].prompt == SECRET_TEXT
    assert (read.key_id, read.ours) == ("full", False)


async def test_our_own_commands_need_no_key_of_a_project(reader: CommandReader) -> None:
    value = message(
        type="dev.darkroom.generation.cancel-requested.v1", data={"job_id": str(uuid4())}
    )

    read = await reader.read(value, signed(value, OWN_KEY))

    assert isinstance(read.command, GenerationCancelRequested)
    assert read.ours


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, "unreadable"),
        (b"", "unreadable"),
        (b"not json", "unreadable"),
        (b"\xff\xfe{}", "unreadable"),
        (b'{"id": "\\ud800"}', "unreadable"),
        (b"[" * 100_000, "unreadable"),
        (b"[]", "not_a_cloudevent"),
        (b'"text"', "not_a_cloudevent"),
        (b"{}", "not_a_cloudevent"),
        (message(specversion="0.3"), "not_a_cloudevent"),
        (message(projectid=None), "not_a_cloudevent"),
        (message(projectid="../other"), "not_a_cloudevent"),
        (message(id=""), "not_a_cloudevent"),
        (message(time="0001-01-01T00:00:00+14:00"), "not_a_cloudevent"),
        (message(time="9999-12-31T23:59:59-14:00"), "not_a_cloudevent"),
    ],
)
async def test_what_is_no_cloudevent_is_a_dead_letter(
    reader: CommandReader, value: bytes | None, code: str
) -> None:
    assert await refusal(reader, value, signed(value or b"")) == code


async def test_what_is_wrong_with_the_envelope_is_named(reader: CommandReader) -> None:
    with pytest.raises(UnreadableMessage, match=r"1\.0: projectid specversion$"):
        await reader.read(message(specversion="0.3", projectid=None), ())


async def test_an_unsigned_command_is_a_dead_letter(reader: CommandReader) -> None:
    other = (("content-type", b"application/json"),)

    assert await refusal(reader, message(), ()) == "unsigned"
    assert await refusal(reader, message(), other) == "unsigned"
    assert await refusal(reader, message(), ((HEADER, None),)) == "unsigned"


async def test_a_signature_of_other_bytes_is_a_dead_letter(reader: CommandReader) -> None:
    headers = signed(message(id="another"))

    assert await refusal(reader, message(), headers) == "wrong_signature"


async def test_headers_that_are_no_text_are_no_obstacle(reader: CommandReader) -> None:
    value = message()
    binary: Headers = (("trace", b"\xff\xfe\x00"), ("null", None))

    read = await reader.read(value, (*binary, *signed(value)))

    assert read.key_id == "full"
    assert await refusal(reader, value, ((HEADER, b"\xff:\xfe"),)) == "wrong_signature"


@pytest.mark.parametrize("key", ["revoked", "expired", "unknown"])
async def test_a_key_that_may_no_longer_be_used_signs_in_vain(
    reader: CommandReader, key: str
) -> None:
    value = message()

    assert await refusal(reader, value, signed(value, key)) == "wrong_key"


async def test_a_key_signs_for_its_own_project_only(reader: CommandReader) -> None:
    value = message(projectid="other")

    assert await refusal(reader, value, signed(value)) == "wrong_project"


async def test_a_signed_event_that_is_no_command_is_a_dead_letter(reader: CommandReader) -> None:
    value = message(type="dev.darkroom.generation.requested.v9")

    assert await refusal(reader, value, signed(value)) == "unknown_type"


@pytest.mark.parametrize(
    ("job", "pointer", "code"),
    [
        ({"width": 7}, "/data/jobs/0/width", "greater_than_equal"),
        ({"height": "512"}, "/data/jobs/0/height", "int_type"),
        ({"prompt": f"{SECRET_TEXT}\x00"}, "/data/jobs/0/prompt", "value_error"),
        ({"prompt": SECRET_TEXT * 1000}, "/data/jobs/0/prompt", "too_long"),
        ({"tier": SECRET_TEXT}, "/data/jobs/0/tier", "enum"),
        ({"seed": 2**53}, "/data/jobs/0/seed", "less_than"),
        ({"meta": {SECRET_TEXT: 2**64}}, "/data/jobs/0/meta", "value_error"),
        ({"loras": [{"id": SECRET_TEXT}]}, "/data/jobs/0/loras/0/id", "string_pattern_mismatch"),
        ({"flow_id": SECRET_TEXT}, "/data/jobs/0/flow_id", "uuid_parsing"),
    ],
)
async def test_a_rejection_says_where_and_why_without_the_text_that_was_sent(
    reader: CommandReader, job: dict[str, Any], pointer: str, code: str
) -> None:
    value = message(job)

    with pytest.raises(Inadmissible) as refused:
        await reader.read(value, signed(value))

    (error,) = refused.value.errors
    assert (error.pointer, error.code) == (pointer, code)
    assert SECRET_TEXT not in error.model_dump_json()
    assert refused.value.envelope.id == "order-17"


@pytest.mark.parametrize("data", [None, {}, {"jobs": []}, {"jobs": [{"prompt": "x"}] * 201}])
async def test_a_command_without_jobs_or_with_too_many_is_rejected(
    reader: CommandReader, data: object
) -> None:
    value = message(data=data)

    with pytest.raises(Inadmissible) as refused:
        await reader.read(value, signed(value))

    assert refused.value.errors[0].pointer in ("/data", "/data/jobs")


async def test_a_rejection_is_smaller_than_what_it_refuses(reader: CommandReader) -> None:
    value = message({"loras": [{}] * 10_000})

    with pytest.raises(Inadmissible) as refused:
        await reader.read(value, signed(value))

    assert len(refused.value.errors) == MOST_ERRORS


async def test_a_key_that_only_reads_may_not_ask_for_pictures(reader: CommandReader) -> None:
    value = message()

    with pytest.raises(Inadmissible) as refused:
        await reader.read(value, signed(value, "reader"))

    assert [error.code for error in refused.value.errors] == ["forbidden"]

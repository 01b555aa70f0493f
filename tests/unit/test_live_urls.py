"""Signed URLs: what they allow, and that nobody but us can write one."""

import string
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.common import now
from schemas.live import LiveUrl
from schemas.wire.studio_live import YEAR, LiveUrlBody
from services.engine.catalogue import Catalogue
from services.errors import (
    DarkroomError,
    InvalidAspectRatio,
    InvalidRequest,
    LiveUrlRefused,
    PromptRequired,
    UnknownModel,
)
from services.live.tokens import read_token, token_of
from services.live.urls import chosen, new_url
from services.signing import Signer

CATALOGUE = Catalogue.load(Path("models/models.yaml"))
SIGNER = Signer("a master secret of tests")
URL = LiveUrl(
    id=UUID("7c0e0000-0000-4000-8000-000000000001"),
    project="demo",
    fixed={"aspectRatio": "16:9"},
    allowed={"prompt": ("a cat", "a dog"), "seed": ("1", "2")},
    expires_at=now() + timedelta(days=1),
)
TOKEN = token_of(URL, SIGNER)


def made(**body: object) -> LiveUrl:
    return new_url(uuid4(), "demo", LiveUrlBody.model_validate(body), CATALOGUE)


def test_a_token_says_which_url_it_is_of_and_until_when() -> None:
    last = URL.expires_at - timedelta(milliseconds=1)

    assert read_token(TOKEN, SIGNER, last) == URL.id
    with pytest.raises(LiveUrlRefused, match="expired"):
        read_token(TOKEN, SIGNER, URL.expires_at)
    assert TOKEN.startswith("1.")


def test_a_token_is_the_same_again() -> None:
    assert token_of(URL, SIGNER) == TOKEN


@given(place=st.integers(0, len(TOKEN) - 1), letter=st.sampled_from(string.printable + "é\ud7ff"))
def test_any_other_letter_anywhere_makes_it_worthless(place: int, letter: str) -> None:
    tampered = TOKEN[:place] + letter + TOKEN[place + 1 :]
    if tampered == TOKEN:
        return
    with pytest.raises(LiveUrlRefused):
        read_token(tampered, SIGNER, now())


@given(st.text(max_size=120))
def test_so_does_anything_else(text: str) -> None:
    with pytest.raises(LiveUrlRefused):
        read_token(text, SIGNER, now())


@pytest.mark.parametrize(
    "token",
    [
        TOKEN + "=",
        TOKEN[:-1],
        TOKEN.upper(),
        TOKEN + "\n",
        token_of(URL, Signer("another master secret")),
        TOKEN.replace("1.", "2.", 1),
    ],
)
def test_nor_is_one_of_another_length_case_deployment_or_version(token: str) -> None:
    with pytest.raises(LiveUrlRefused):
        read_token(token, SIGNER, now())


def test_a_later_end_needs_another_signature() -> None:
    longer = URL.model_copy(update={"expires_at": URL.expires_at + timedelta(days=1)})
    claim, _, _ = token_of(longer, SIGNER).rpartition(".")

    with pytest.raises(LiveUrlRefused):
        read_token(f"{claim}.{TOKEN.rpartition('.')[2]}", SIGNER, now())


def test_a_request_chooses_one_allowed_value_of_each_parameter() -> None:
    assert chosen(URL, [("prompt", "a dog"), ("seed", "2")]) == {
        "aspectRatio": "16:9",
        "prompt": "a dog",
        "seed": "2",
    }


@pytest.mark.parametrize(
    "given",
    [
        [],
        [("prompt", "a cat")],
        [("prompt", "a cat"), ("seed", "3")],
        [("prompt", "a Cat"), ("seed", "1")],
        [("prompt", "a cat"), ("seed", "01")],
        [("prompt", "a cat"), ("seed", "1"), ("seed", "1")],
        [("prompt", "a cat"), ("seed", "1"), ("seed", "2")],
        [("prompt", "a cat"), ("seed", "1"), ("aspectRatio", "16:9")],
        [("prompt", "a cat"), ("seed", "1"), ("utm_source", "mail")],
        [("Prompt", "a cat"), ("seed", "1")],
    ],
)
def test_anything_else_is_refused(given: list[tuple[str, str]]) -> None:
    with pytest.raises(LiveUrlRefused):
        chosen(URL, given)


def test_a_url_of_a_fixed_prompt_takes_nothing() -> None:
    url = made(prompt="a cat", aspectRatio="16:9", seed=3, quality="draft")

    assert chosen(url, []) == {
        "prompt": "a cat",
        "aspectRatio": "16:9",
        "seed": "3",
        "quality": "draft",
    }
    with pytest.raises(LiveUrlRefused):
        chosen(url, [("prompt", "a cat")])


def test_a_url_lasts_a_year_and_makes_what_is_asked_unless_told_otherwise() -> None:
    url = made(params={"prompt": ["a cat", "a dog"]})

    assert url.expires_at - url.created_at == timedelta(seconds=YEAR)
    assert url.max_images is None
    assert made(prompt="a cat", expiresIn=60).seconds_left(now()) <= 60


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        ({}, PromptRequired),
        ({"prompt": " "}, PromptRequired),
        ({"params": {"aspectRatio": ["1:1"]}}, PromptRequired),
        ({"params": {"prompt": ["a cat", ""]}}, PromptRequired),
        ({"prompt": "a cat", "params": {"prompt": ["a dog"]}}, InvalidRequest),
        ({"prompt": "a cat", "aspectRatio": "1:5"}, InvalidAspectRatio),
        ({"prompt": "a cat", "params": {"aspectRatio": ["1:1", "x"]}}, InvalidAspectRatio),
        ({"prompt": "a cat", "model": "nobody's"}, UnknownModel),
    ],
)
def test_a_url_that_could_not_be_used_is_not_made(
    body: dict[str, object], refusal: type[DarkroomError]
) -> None:
    with pytest.raises(refusal):
        made(**body)


@pytest.mark.parametrize(
    "body",
    [
        {"expiresIn": YEAR + 1},
        {"expiresIn": 0},
        {"expiresIn": "60"},
        {"maxImages": -1},
        {"params": {"style": ["noir"]}},
        {"params": {"prompt": []}},
        {"params": {"seed": ["1"]}},
        {"params": {"quality": ["best"]}},
    ],
)
def test_what_is_no_url_at_all_is_not_valid(body: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        made(**{"prompt": "a cat"} | body)

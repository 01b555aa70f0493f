"""The key of a live picture: the same for the same picture, another for every other."""

from pathlib import Path
from typing import Any

import pytest

from api.studio.live import spec_of
from schemas.jobs import GenerationSpec
from schemas.wire.studio_live import LiveQuery
from services.engine.catalogue import Catalogue
from services.errors import InvalidAspectRatio, InvalidRequest, PromptRequired
from services.live.keys import cache_key

CATALOGUE = Catalogue.load(Path("models/models.yaml"))
USUAL: dict[str, Any] = {
    "prompt": "a red circle",
    "aspect_ratio": "1:1",
    "model": "default",
    "seed": 7,
    "quality": "standard",
}
OTHER: dict[str, Any] = {
    "prompt": "a red  circle",
    "aspect_ratio": "16:9",
    "model": CATALOGUE.models[-1].id,
    "seed": 8,
    "quality": "draft",
}
RECORDED = "7d2e3db6c47f598286ca4eeb578961dd9544c13e8b962dcf3132951544547011"


def key(project: str = "demo", **parameters: Any) -> str:
    return cache_key(project, spec_of(LiveQuery.model_validate(parameters), CATALOGUE))


def test_every_parameter_of_a_picture_has_another_value_to_try() -> None:
    assert set(OTHER) == set(LiveQuery.model_fields) - {"token"}
    assert CATALOGUE.find("default").id != OTHER["model"]


@pytest.mark.parametrize("name", OTHER)
def test_each_parameter_alone_makes_another_picture(name: str) -> None:
    assert key(**USUAL) != key(**USUAL | {name: OTHER[name]})


def test_a_project_has_pictures_of_its_own() -> None:
    assert key("demo", **USUAL) != key("other", **USUAL)


def test_a_seed_that_nobody_chose_is_no_seed() -> None:
    without = {name: value for name, value in USUAL.items() if name != "seed"}

    assert key(**without) == key(**without)
    assert key(**without) != key(**without, seed=0)


@pytest.mark.parametrize(
    "same",
    [
        {"model": CATALOGUE.default.id},
        {"aspect_ratio": "2:2"},
        {"quality": "standard"},
        {"seed": "7"},
    ],
)
def test_another_way_to_say_the_same_is_the_same_picture(same: dict[str, Any]) -> None:
    assert key(**USUAL) == key(**USUAL | same)


def test_defaults_that_are_written_out_change_nothing() -> None:
    assert key(prompt="a red circle") == key(**USUAL | {"seed": None})


def test_the_key_is_what_it_was_when_pictures_were_stored_under_it() -> None:
    spec = GenerationSpec(
        prompt="грузовик едет по горной дороге", model="tiny", width=512, height=288, seed=7
    )

    assert cache_key("demo", spec) == RECORDED


@pytest.mark.parametrize(
    ("wrong", "refusal"),
    [
        ({"prompt": None}, PromptRequired),
        ({"prompt": "  "}, PromptRequired),
        ({"aspect_ratio": "1:5"}, InvalidAspectRatio),
        ({"aspect_ratio": ""}, InvalidAspectRatio),
    ],
)
def test_what_is_no_picture_has_no_key(
    wrong: dict[str, Any], refusal: type[InvalidRequest]
) -> None:
    with pytest.raises(refusal):
        key(**USUAL | wrong)

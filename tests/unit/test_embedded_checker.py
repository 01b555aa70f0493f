"""The checker agrees with what was drawn, and disagrees with what was not."""

from random import Random

import pytest

from models.embedded import sampling
from models.embedded.checker import check
from models.embedded.drawing import draw
from models.embedded.findings import Check
from models.embedded.sampling import Draw
from models.embedded.specification import Single, Thing

DRAWS = (sampling.draw_single, sampling.draw_pair, sampling.draw_scene)


@pytest.mark.parametrize("draw_one", DRAWS)
@pytest.mark.parametrize("side", [192, 256, 512])
def test_drawn_truth_passes(draw_one: Draw, side: int) -> None:
    random = Random(side)
    checks: list[Check] = []
    for _ in range(60):
        picture = draw_one(random)
        checks += check(picture, draw(picture, side, side, random))

    assert sum(one.right for one in checks) >= 0.98 * len(checks)


@pytest.mark.parametrize(
    ("change", "aspect"),
    [
        ({"background": "green"}, "background"),
        ({"place": "left"}, "place"),
        ({"thing": Thing(colour="blue", shape="star")}, "colour"),
        ({"thing": Thing(colour="red", shape="heart")}, "shape"),
        ({"thing": Thing(colour="red", shape="star", size="large")}, "size"),
        ({"thing": Thing(colour="red", shape="star", style="striped")}, "style"),
        ({"thing": Thing(colour="red", shape="star", style="outlined")}, "style"),
    ],
)
def test_one_wrong_aspect_is_found_and_no_other(change: dict[str, object], aspect: str) -> None:
    drawn = Single(thing=Thing(colour="red", shape="star"), place="top", background="white")
    pixels = draw(drawn, 256, 256, Random(1))
    wanted = drawn.model_copy(update=change)

    assert [one.aspect for one in check(wanted, pixels) if not one.right] == [aspect]


def test_a_swapped_pair_fails_on_its_relation() -> None:
    random = Random(2)
    wrong = 0
    for _ in range(20):
        pair = sampling.draw_pair(random)
        swapped = pair.model_copy(update={"first": pair.second, "second": pair.first})
        checks = check(swapped, draw(pair, 256, 256, random))
        wrong += [one.aspect for one in checks if not one.right] == ["relation"]

    assert wrong == 20


def test_things_missing_from_or_added_to_a_scene_are_found() -> None:
    random = Random(3)
    for _ in range(20):
        scene = sampling.draw_scene(random)
        other = scene.model_copy(update={"luminary": not scene.luminary, "tree": not scene.tree})
        named = 2 if scene.ground == "hills" else 1
        checks = check(other, draw(scene, 256, 256, random))

        assert sum(not one.right for one in checks) == named


def test_an_empty_picture_has_no_thing() -> None:
    picture = Single(thing=Thing(colour="red", shape="star"), place="top", background="white")
    empty = draw(picture, 256, 256, Random(4)) // 255 * 0 + 250
    checks = {one.aspect: one.right for one in check(picture, empty)}

    assert checks == {
        "background": True, "colour": False, "shape": False,
        "place": False, "size": False, "style": False,
    }  # fmt: skip

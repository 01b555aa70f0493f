"""What the embedded model is taught from: specifications, captions, drawings, the held-out rule."""

from random import Random

import numpy as np
import pytest

from models.embedded import captions
from models.embedded.batches import CURRICULUM, DRAWS, Phase, choose
from models.embedded.drawing import draw
from models.embedded.sampling import Draw
from models.embedded.specification import Pair, Thing, held_out
from models.embedded.vocabulary import words

RED, BLUE = Thing(colour="red", shape="star"), Thing(colour="blue", shape="heart")


@pytest.mark.parametrize("phase", CURRICULUM)
def test_training_never_draws_a_held_out_combination(phase: Phase) -> None:
    random = Random(1)
    pictures = [picture for _ in range(60) for picture in choose(phase, random)]

    assert not any(held_out(picture) for picture in pictures)


@pytest.mark.parametrize("draw_one", DRAWS)
def test_about_one_combination_in_ten_is_held_out(draw_one: Draw) -> None:
    random = Random(2)
    share = np.mean([held_out(draw_one(random)) for _ in range(2000)])

    assert 0.03 < share < 0.2


def test_both_ways_to_say_a_pair_share_their_fate() -> None:
    above = Pair(first=RED, second=BLUE, relation="above", background="white")
    below = Pair(first=BLUE, second=RED, relation="below", background="white")

    assert above.combination == below.combination


@pytest.mark.parametrize("draw_one", DRAWS)
def test_captions_use_known_words_only(draw_one: Draw) -> None:
    random = Random(3)
    said = [captions.caption(draw_one(random), random) for _ in range(400)]

    assert {word.strip(",") for one in said for word in one.split()} <= set(words())


def test_a_noise_word_is_added_and_the_rest_stays() -> None:
    said = captions.with_noise_word("a red star", Random(4))

    assert len(said.split()) == 4
    assert [word for word in said.split() if word in ("a", "red", "star")] == ["a", "red", "star"]


@pytest.mark.parametrize("draw_one", DRAWS)
@pytest.mark.parametrize(("width", "height"), [(256, 256), (320, 192), (128, 256)])
def test_the_same_seed_draws_the_same_pixels_at_any_size(
    draw_one: Draw, width: int, height: int
) -> None:
    picture = draw_one(Random(5))
    one, other = (draw(picture, width, height, Random(6)) for _ in range(2))

    assert one.shape == (height, width, 3)
    assert np.array_equal(one, other)
    assert np.ptp(one) > 0

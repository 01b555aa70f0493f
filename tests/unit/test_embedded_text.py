"""What captions mean, and that the text encoder's training asks for just that."""

from random import Random

import pytest
from torch import nn

from models.embedded.batches import DRAWS
from models.embedded.meaning import QUESTIONS, meaning
from models.embedded.sampling import Draw
from models.embedded.specification import Pair, Thing
from models.embedded.train_text import BATCH, Reader, make_captions, understood

RED, BLUE = Thing(colour="red", shape="star"), Thing(colour="blue", shape="heart")
ANSWERS = [count for asked in QUESTIONS for count in asked]


@pytest.mark.parametrize("draw_one", DRAWS)
def test_every_question_has_an_answer_in_its_range(draw_one: Draw) -> None:
    random = Random(1)
    for _ in range(200):
        meant = meaning(draw_one(random))

        assert len(meant) == len(ANSWERS)
        assert all(0 <= answer < count for answer, count in zip(meant, ANSWERS, strict=True))


def test_the_two_things_of_a_pair_stand_opposite() -> None:
    one = meaning(Pair(first=RED, second=BLUE, relation="above", background="white"))
    other = meaning(Pair(first=BLUE, second=RED, relation="below", background="white"))

    assert (one[:5], one[5:10]) == (other[5:10], other[:5])
    assert one[:5] != other[:5]


def test_captions_depend_on_seed_and_step_alone_and_silence_means_nothing() -> None:
    said, meant = make_captions(1, 3)
    again, _ = make_captions(1, 3)

    assert said == again
    assert "" in said
    assert not meant[said.index("")].any()
    assert meant.shape == (BATCH, len(ANSWERS))


def test_the_reader_answers_each_question() -> None:
    said, meant = make_captions(1, 0)
    logits = Reader()(said[:4])

    assert [one.shape for one in logits] == [(4, count) for count in ANSWERS]
    right = [nn.functional.one_hot(meant[:4, at], count) for at, count in enumerate(ANSWERS)]
    assert understood([one.float() for one in right], meant[:4]) == 1.0
    assert understood([-one.float() for one in right], meant[:4]) == 0.0

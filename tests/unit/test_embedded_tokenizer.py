"""Each known word is one token, ids never move, and unknown words do no harm."""

from random import Random

import pytest

from models.embedded import captions
from models.embedded.batches import DRAWS
from models.embedded.sampling import Draw
from models.embedded.tokenizer import MAX_LENGTH, make_tokenizer
from models.embedded.vocabulary import words

TOKENIZER = make_tokenizer(words())


@pytest.mark.parametrize("word", words())
def test_a_known_word_is_one_token(word: str) -> None:
    assert TOKENIZER.tokenize(word) == [f"{word}</w>"]


def test_the_same_words_give_the_same_ids() -> None:
    assert make_tokenizer(words()).get_vocab() == TOKENIZER.get_vocab()


@pytest.mark.parametrize("said", ["zebra", "ünïcode 漢字", "", "red " * 100])
def test_any_text_becomes_a_full_row_of_known_ids(said: str) -> None:
    ids = TOKENIZER(said, padding="max_length", truncation=True).input_ids

    assert len(ids) == MAX_LENGTH
    assert all(0 <= one < len(TOKENIZER) for one in ids)


@pytest.mark.parametrize("draw_one", DRAWS)
def test_no_caption_is_cut_off(draw_one: Draw) -> None:
    random = Random(1)
    said = [captions.caption(draw_one(random), random) for _ in range(300)]

    assert max(len(TOKENIZER(one).input_ids) for one in said) < MAX_LENGTH

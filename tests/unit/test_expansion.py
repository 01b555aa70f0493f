"""The catalogue's rules: what they add, and that nothing that was said is lost."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.embedded.vocabulary import COLOURS, words
from schemas.common import PROMPT_LIMIT
from services.engine.catalogue import Catalogue
from services.engine.expansion import END, Enhancement, Rule
from services.settings import ROOT

SHIPPED = Catalogue.load(Path(ROOT / "models" / "models.yaml")).find("darkroom-small").enhancement
assert SHIPPED is not None
EXPANDED = SHIPPED.expanded


@pytest.mark.parametrize(
    ("prompt", "expanded"),
    [
        ("a red circle", "a red circle on a white background"),
        ("Two Red CIRCLES and a square.", "Two Red CIRCLES and a square on a white background"),
        ("a white heart", "a white heart on a black background"),
        ("a white star above a black square", None),
        ("a red circle on a blue background", "a red circle on a blue background"),
        ("blue background, a red circle", "blue background, a red circle"),
        ("a boat and the moon at night", "a boat and the moon at night"),
        ("a majestic eagle", "a majestic eagle"),
        ("", ""),
    ],
)
def test_a_shape_gets_a_background_that_is_not_its_own_colour(
    prompt: str, expanded: str | None
) -> None:
    wanted = expanded if expanded is not None else f"{prompt} on a blue background"

    assert EXPANDED(prompt) == wanted


@given(st.lists(st.sampled_from([*words(), "eagle", "@hero"]), max_size=12).map(" ".join))
def test_nothing_is_lost_and_a_second_time_changes_nothing(prompt: str) -> None:
    once = EXPANDED(prompt)

    assert once.startswith(prompt.rstrip(END))
    assert EXPANDED(once) == once


@given(st.lists(st.sampled_from(words()), max_size=8).map(" ".join))
def test_what_is_added_is_in_the_model_s_vocabulary_and_names_no_colour_twice(prompt: str) -> None:
    added = re.findall(r"\w+", EXPANDED(prompt)[len(prompt.rstrip(END)) :])

    assert set(added) <= set(words())
    assert not set(added) & set(COLOURS) & set(prompt.split())


@given(st.text())
def test_any_text_is_a_prompt(prompt: str) -> None:
    assert EXPANDED(prompt).startswith(prompt.rstrip(END))


def test_what_would_become_too_long_stays() -> None:
    long = "circle " * (PROMPT_LIMIT // 7)

    assert EXPANDED(long) == long


def test_rules_apply_one_after_the_other() -> None:
    rules = (Rule(add=", sharp focus", unless=("sharp",)), Rule(add=", detailed", when=("focus",)))

    assert Enhancement(rules=rules).expanded("an owl.") == "an owl, sharp focus, detailed"

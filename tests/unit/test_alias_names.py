"""Names of pictures: which may be given, and which a prompt says."""

import re
from string import ascii_letters, digits

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.jobs import Dialect, Reference
from services.errors import ImageNotFound, InvalidAlias, ReservedAlias
from services.library.aliases import check_name
from services.library.references import named_in, said

ALPHANUMERIC = ascii_letters + digits
NAMES = st.builds(
    lambda first, rest: f"@{first}{rest}",
    st.sampled_from(ALPHANUMERIC),
    st.text(ALPHANUMERIC + "_-", max_size=63),
).filter(lambda name: name not in ("@last", "@first", "@upload"))


@given(NAMES)
def test_a_name_of_the_documented_form_may_be_given(name: str) -> None:
    check_name(name)

    assert said(name) == Reference(alias=name)


@given(st.text(max_size=70))
def test_any_other_may_not(text: str) -> None:
    documented = re.compile(r"@[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")
    if documented.match(text):
        return

    with pytest.raises(InvalidAlias):
        check_name(text)


@pytest.mark.parametrize(
    "name", ["", "@", "hero", "@-x", "@_x", "@a b", "@a\n", "@é", f"@{'a' * 65}"]
)
def test_the_forms_borders(name: str) -> None:
    with pytest.raises(InvalidAlias):
        check_name(name)


@pytest.mark.parametrize("name", ["@last", "@first", "@upload"])
def test_computed_names_are_reserved(name: str) -> None:
    with pytest.raises(ReservedAlias):
        check_name(name)

    assert said(name) == Reference(alias=name)


@given(st.lists(NAMES, max_size=5), st.sampled_from([" ", ", ", " and ", ".\n", "' '"]))
def test_a_prompt_says_its_names_once_each_in_order(names: list[str], between: str) -> None:
    prompt = between.join(["a castle", *names, "at night"])

    assert named_in(prompt, Dialect.STUDIO) == tuple(dict.fromkeys(names))


@pytest.mark.parametrize("prompt", ["mail me@example.com", "@", "@ hero", "a @@b", "50@ 3"])
def test_what_is_no_name_in_a_prompt(prompt: str) -> None:
    assert named_in(prompt, Dialect.STUDIO) == ()


@pytest.mark.parametrize("dialect", set(Dialect) - {Dialect.STUDIO})
def test_other_dialects_prompts_are_plain_text(dialect: Dialect) -> None:
    assert named_in("by @somebody", dialect) == ()


@pytest.mark.parametrize("name", ["hero", "", "@", "1234", "@a b"])
def test_what_is_neither_id_nor_name_is_no_picture(name: str) -> None:
    with pytest.raises(ImageNotFound):
        said(name)

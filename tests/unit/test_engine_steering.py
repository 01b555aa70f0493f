"""References' files -> what a picture starts from."""

from hashlib import sha256
from io import BytesIO

import pytest
from PIL import Image

from schemas.jobs import GenerationSpec, Reference, ReferenceRole
from services.engine.steering import steering
from services.errors import InvalidSpec

IMAGE, MASK = Reference(), Reference(role=ReferenceRole.MASK)


def file(image: Image.Image, kind: str = "PNG") -> bytes:
    content = BytesIO()
    image.save(content, kind)
    return content.getvalue()


def flat(color: str | int, mode: str = "RGB", size: tuple[int, int] = (64, 64)) -> bytes:
    return file(Image.new(mode, size, color))


def spec(*references: Reference, strength: float | None = None) -> GenerationSpec:
    return GenerationSpec(prompt="x", width=64, height=64, references=references, strength=strength)


def test_without_references_nothing_steers() -> None:
    assert steering(spec(), []) is None


def test_the_middle_of_a_wider_picture_is_taken_and_nothing_is_squeezed() -> None:
    wide = Image.new("RGB", (256, 64), "red")
    wide.paste("blue", (96, 0, 160, 64))

    start = steering(spec(IMAGE), [file(wide)])

    assert start is not None
    assert start.image.size == (64, 64)
    assert start.image.getcolors() == [(64 * 64, (0, 0, 255))]


@pytest.mark.parametrize("size", [(64, 64), (63, 200), (1000, 30), (1, 1)])
def test_any_size_becomes_the_wanted_one_the_same_each_time(size: tuple[int, int]) -> None:
    content = file(Image.effect_noise(size, 60).convert("RGB"))
    one, other = [steering(spec(IMAGE), [content]) for _ in range(2)]

    assert one is not None
    assert other is not None
    assert one.image.size == (64, 64)
    assert one.image.tobytes() == other.image.tobytes()


def test_what_is_transparent_is_white() -> None:
    start = steering(spec(IMAGE), [file(Image.new("RGBA", (64, 64), (255, 0, 0, 0)))])

    assert start is not None
    assert start.image.getcolors() == [(64 * 64, (255, 255, 255))]


def test_the_first_reference_steers_and_only_it_is_in_the_manifest() -> None:
    files = [flat("red"), flat("blue"), flat(255, "L"), flat(0, "L")]

    start = steering(spec(IMAGE, IMAGE, MASK, MASK), files)

    assert start is not None
    assert start.image.getpixel((0, 0)) == (255, 0, 0)
    assert start.mask is not None
    assert start.mask.getpixel((0, 0)) == 255
    assert [(used.role, used.sha256) for used in start.used] == [
        (ReferenceRole.IMAGE, sha256(files[0]).hexdigest()),
        (ReferenceRole.MASK, sha256(files[2]).hexdigest()),
    ]


def test_a_mask_is_black_or_white() -> None:
    grey = Image.linear_gradient("L").resize((64, 64))

    start = steering(spec(IMAGE, MASK), [flat("red"), file(grey)])

    assert start is not None
    assert start.mask is not None
    assert set(start.mask.tobytes()) == {0, 255}


@pytest.mark.parametrize(
    ("references", "said", "strength"),
    [((IMAGE,), None, 0.6), ((IMAGE, MASK), None, 1.0), ((IMAGE, MASK), 0.25, 0.25)],
)
def test_a_strength_is_the_callers_or_the_usual_one(
    references: tuple[Reference, ...], said: float | None, strength: float
) -> None:
    start = steering(spec(*references, strength=said), [flat("red")] * len(references))

    assert start is not None
    assert start.strength == strength


@pytest.mark.parametrize(
    ("references", "files", "word"),
    [
        ((IMAGE,), [b"no picture"], "can't be read"),
        ((IMAGE,), [flat("red")[:-40]], "can't be read"),
        ((IMAGE,), [], "1 references, but 0 files"),
        ((), [flat("red")], "0 references, but 1 files"),
        ((MASK,), [flat(255, "L")], "mask needs a picture"),
    ],
)
def test_what_cannot_steer_is_refused(
    references: tuple[Reference, ...], files: list[bytes], word: str
) -> None:
    with pytest.raises(InvalidSpec, match=word):
        steering(spec(*references), files)

"""Stored pictures in other formats, and masks as OpenAI's clients send them."""

from io import BytesIO

import pytest
from PIL import Image

from services.conversion import converted, painted_where_clear


def file_of(image: Image.Image, kind: str = "PNG") -> bytes:
    content = BytesIO()
    image.save(content, kind)
    return content.getvalue()


@pytest.mark.parametrize("kind", ["jpeg", "webp"])
def test_a_converted_picture_looks_the_same_and_says_that_it_was_generated(kind: str) -> None:
    png = file_of(Image.new("RGB", (32, 24), (200, 40, 40)))

    made = converted(png, kind)

    with Image.open(BytesIO(made)) as image:
        assert (image.format, image.size) == (kind.upper(), (32, 24))
        shown = image.convert("RGB").getpixel((16, 12))
        assert b"trainedAlgorithmicMedia" in image.info["xmp"]
    assert isinstance(shown, tuple)
    assert max(abs(a - b) for a, b in zip(shown, (200, 40, 40), strict=True)) <= 6
    assert converted(png, kind) == made


def test_what_has_the_format_already_stays_byte_for_byte() -> None:
    png = file_of(Image.new("RGB", (8, 8)))

    assert converted(png, "png") is png


def test_a_picture_with_transparency_becomes_a_jpeg_too() -> None:
    assert converted(file_of(Image.new("RGBA", (8, 8), (1, 2, 3, 0))), "jpeg")


def test_a_mask_is_white_where_it_was_clear() -> None:
    mask = Image.new("RGBA", (4, 1), (9, 9, 9, 255))
    mask.putpixel((1, 0), (9, 9, 9, 0))
    mask.putpixel((2, 0), (9, 9, 9, 1))

    with Image.open(BytesIO(painted_where_clear(file_of(mask)))) as painted:
        assert [painted.getpixel((x, 0)) for x in range(4)] == [0, 255, 0, 0]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_mask_without_transparency_is_none(kind: str) -> None:
    with pytest.raises(ValueError, match="no transparent pixels"):
        painted_where_clear(file_of(Image.new("RGB", (4, 4), "white"), kind))

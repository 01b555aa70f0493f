"""Uploaded files -> pictures of our own making, or a refusal: looked at, pixel by pixel."""

import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from mmap import PAGESIZE
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin

from services.errors import FileTooLarge, UnsupportedImage
from services.library.decoding import MOST_PIXELS, decode
from services.library.framing import is_whole

TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}


def corner(size: tuple[int, int] = (64, 48)) -> Image.Image:
    """Blue, but for a red quarter at the top left."""
    image = Image.new("RGB", size, "blue")
    image.paste("red", (0, 0, size[0] // 2, size[1] // 2))
    return image


def file(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    content = BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def opened(content: bytes) -> Image.Image:
    image = Image.open(BytesIO(content))
    image.load()
    return image


def alpha(image: Image.Image) -> int:
    pixel = image.getpixel((4, 4))
    assert isinstance(pixel, tuple)
    return pixel[3]


def near(pixel: object, wanted: tuple[int, ...], levels: int = 12) -> bool:
    assert isinstance(pixel, tuple)
    return all(abs(a - b) <= levels for a, b in zip(pixel, wanted, strict=True))


@pytest.mark.parametrize("kind", TYPES)
def test_a_picture_keeps_its_format_and_its_pixels(kind: str) -> None:
    found = decode(file(corner(), kind, quality=95))
    image = opened(found.content)

    assert (found.mime_type, image.format) == (TYPES[kind], kind)
    assert (found.width, found.height) == image.size == (64, 48)
    assert near(image.getpixel((8, 8)), (255, 0, 0))
    assert near(image.getpixel((56, 40)), (0, 0, 255))


@pytest.mark.parametrize("kind", TYPES)
def test_the_same_file_gives_the_same_bytes(kind: str) -> None:
    content = file(corner(), kind)

    assert decode(content) == decode(content)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize(
    ("orientation", "size", "red_at"),
    [
        (1, (64, 48), (8, 8)),
        (2, (64, 48), (56, 8)),
        (3, (64, 48), (56, 40)),
        (4, (64, 48), (8, 40)),
        (5, (48, 64), (8, 8)),
        (6, (48, 64), (40, 8)),
        (7, (48, 64), (40, 56)),
        (8, (48, 64), (8, 56)),
    ],
)
def test_it_stands_upright(
    kind: str, orientation: int, size: tuple[int, int], red_at: tuple[int, int]
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation

    found = decode(file(corner(), kind, exif=exif.tobytes()))

    image = opened(found.content)
    assert image.size == size == (found.width, found.height)
    assert near(image.getpixel(red_at), (255, 0, 0), 40)


@pytest.mark.parametrize("kind", TYPES)
def test_nothing_but_the_pixels_is_left(kind: str) -> None:
    exif = Image.Exif()
    exif[0x010E] = "a secret place"
    text = PngImagePlugin.PngInfo()
    text.add_itxt("comment", "a secret place")
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    told = {"exif": exif.tobytes(), "icc_profile": profile, "pnginfo": text, "dpi": (300, 300)}
    if kind == "JPEG":
        told["comment"] = b"a secret place"
    content = file(corner(), kind, **told)
    assert b"a secret place" in content

    found = decode(content).content

    image = opened(found)
    assert b"secret" not in found
    assert not dict(image.getexif())
    assert not {"icc_profile", "comment", "exif", "xmp"} & set(image.info)


@pytest.mark.parametrize(
    ("image", "at", "wanted"),
    [
        (corner().convert("CMYK"), "JPEG", (255, 0, 0)),
        (corner().convert("P"), "PNG", (255, 0, 0)),
        (corner().convert("RGBA"), "PNG", (255, 0, 0)),
        (corner().convert("L"), "PNG", (76, 76, 76)),
        (corner().convert("LA"), "PNG", (76, 76, 76)),
        (Image.new("1", (64, 48), 1), "PNG", (255, 255, 255)),
        (Image.new("I;16", (64, 48), 32768), "PNG", (128, 128, 128)),
    ],
    ids=["cmyk", "palette", "opaque alpha", "grey", "grey and alpha", "bits", "16 bits"],
)
def test_any_kind_of_pixels_becomes_rgb(
    image: Image.Image, at: str, wanted: tuple[int, int, int]
) -> None:
    found = opened(decode(file(image, at)).content)

    assert near(found.convert("RGB").getpixel((8, 8)), wanted, 16)
    assert found.mode in ("RGB", "RGBA")


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_what_is_transparent_stays_so(kind: str) -> None:
    image = Image.new("RGBA", (32, 32), (255, 0, 0, 255))
    image.paste((0, 0, 0, 0), (0, 0, 16, 32))

    found = opened(decode(file(image, kind, lossless=True)).content)

    assert alpha(found) == 0
    assert found.getpixel((28, 28)) == (255, 0, 0, 255)


def test_a_transparent_colour_of_a_palette_is_transparent() -> None:
    image = Image.new("P", (32, 32), 0)
    image.putpalette([255, 0, 0, 0, 255, 0])

    found = opened(decode(file(image, transparency=0)).content)

    assert alpha(found) == 0


def test_colours_of_another_space_are_said_in_srgb() -> None:
    """A space whose red is our green."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = srgb.replace(b"rXYZ", b"xXYZ").replace(b"gXYZ", b"rXYZ").replace(b"xXYZ", b"gXYZ")

    found = opened(decode(file(Image.new("RGB", (16, 16), "red"), icc_profile=swapped)).content)

    assert near(found.getpixel((4, 4)), (0, 255, 0))


def test_a_lossless_picture_stays_lossless() -> None:
    noise = Image.effect_noise((64, 64), 80).convert("RGB")

    found = opened(decode(file(noise, "WEBP", lossless=True)).content)

    assert found.tobytes() == noise.tobytes()


def test_of_several_pictures_in_a_jpeg_the_first_is_kept() -> None:
    several = file(corner(), "MPO", save_all=True, append_images=[Image.new("RGB", (64, 48))])
    assert opened(several).format == "MPO"

    found = opened(decode(several).content)

    assert (found.format, getattr(found, "n_frames", 1)) == ("JPEG", 1)
    assert near(found.getpixel((8, 8)), (255, 0, 0))


def animated(kind: str) -> bytes:
    return file(corner(), kind, save_all=True, append_images=[Image.new("RGB", (64, 48), "green")])


ARCHIVE = b"PK\x03\x04 and a program"
POLYGLOTS = {
    f"{kind} and {name}": file(corner(), kind) + tail
    for kind in TYPES
    for name, tail in {"an archive": ARCHIVE, "a page": b"<script>", "a byte": b"xx"}.items()
}
REFUSED = {
    **POLYGLOTS,
    "a JPEG, an archive and a JPEG's end": file(corner(), "JPEG") + ARCHIVE + b"\xff\xd9",
    "an archive and a PNG": ARCHIVE + file(corner()),
    "nothing": b"",
    "text": b"not a picture",
    "a GIF": file(corner().convert("P"), "GIF"),
    "a TIFF": file(corner(), "TIFF"),
    "a BMP": file(corner(), "BMP"),
    "SVG": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "an animated PNG": animated("PNG"),
    "an animated WebP": animated("WEBP"),
    "a PNG's start": b"\x89PNG\r\n\x1a\n",
    "a JPEG's start": b"\xff\xd8",
    "an empty WebP": b"RIFF\x04\x00\x00\x00WEBP",
}


@pytest.mark.parametrize("content", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_picture_of_ours_or_more_than_one_is_refused(content: bytes) -> None:
    with pytest.raises(UnsupportedImage):
        decode(content)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.99])
def test_half_a_picture_is_refused(kind: str, part: float) -> None:
    content = file(Image.effect_noise((64, 64), 80), kind)

    with pytest.raises(UnsupportedImage):
        decode(content[: int(len(content) * part)])


def png(width: int, height: int, data: bytes = b"") -> bytes:
    """Says that it is that large, whatever is in it."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack("!I", len(body)) + name + body + struct.pack("!I", zlib.crc32(name + body))
        )

    head = struct.pack("!IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "size", [(7_100, 7_100), (12_000, 12_000), (60_000, 60_000), (20_000, 10), (10, 16_384)]
)
def test_what_would_take_too_much_memory_is_refused_before_it_is_decoded(
    size: tuple[int, int],
) -> None:
    with pytest.raises(FileTooLarge, match="File too large"):
        decode(png(*size, zlib.compress(bytes(1000))))


def test_as_many_pixels_as_allowed_are_fine() -> None:
    width = 10_000
    found = decode(file(Image.new("RGB", (width, MOST_PIXELS // width))))

    assert found.width * found.height == MOST_PIXELS


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(sorted(TYPES)),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_a_damaged_file_is_a_picture_or_refused_and_nothing_else(
    kind: str, damages: list[tuple[int, int]]
) -> None:
    content = bytearray(file(corner((24, 16)), kind))
    for at, value in damages:
        content[at % len(content)] = value
    try:
        found = decode(bytes(content))
    except (UnsupportedImage, FileTooLarge):
        return

    assert opened(found.content).size == (found.width, found.height)


@given(st.binary(max_size=200), st.sampled_from([b"", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"RIFF"]))
def test_framing_reads_any_bytes(content: bytes, start: bytes) -> None:
    assert is_whole(start + content) in (True, False)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="asks Linux")
def test_a_large_picture_leaves_its_memory() -> None:
    large = file(Image.new("RGB", (4500, 4500)))
    with ThreadPoolExecutor(1) as thread:  # as in the API
        before = resident()
        for _ in range(2):
            thread.submit(decode, large).result()

        assert resident() - before < 40 * 1024 * 1024


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGESIZE

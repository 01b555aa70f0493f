"""An uploaded file -> a picture of our own making: upright, in sRGB, nothing but pixels in it.

Pure, and slow: up to a second a file, so that it is called beside the event loop.
"""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from io import BytesIO
from typing import Any, Final

from PIL import ExifTags, Image, ImageCms

from schemas.common import Sha256, Value
from services.errors import FileTooLarge, UnsupportedImage
from services.library.framing import is_webp, is_whole, webp_chunks

MOST_PIXELS: Final = 50_000_000  #: decoded, they take four bytes each
LONGEST_SIDE: Final = 16_383  #: WebP's own limit
BLOCK: Final = 64 * 1024 * 1024  #: bytes; glibc keeps what is freed in pieces below 32 MiB

#: What Pillow raises for files that are broken in ways it did not foresee.
_BROKEN: Final = (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, struct.error)
_BOMBS: Final = (Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError)
#: What undoes an EXIF orientation.
TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SRGB: Final = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))

# Or every thread holds on to what its largest picture took.
Image.core.set_block_size(BLOCK)  # type: ignore[attr-defined]


class DecodedUpload(Value):
    content: bytes
    sha256: Sha256
    width: int
    height: int
    mime_type: str
    extension: str


def decode(content: bytes) -> DecodedUpload:
    """Its format stays. Raise `UnsupportedImage`, or `FileTooLarge` for too many pixels."""
    if not is_whole(content):
        raise UnsupportedImage
    with _refusing():
        with Image.open(BytesIO(content), formats=("PNG", "JPEG", "WEBP")) as opened:
            _check(opened)
            opened.load()  # of several pictures in a JPEG, the first
            kind = "JPEG" if opened.format == "MPO" else str(opened.format)
            pixels = _plain(opened)
        file = BytesIO()
        pixels.save(file, kind, **_options(kind, content))
    written = file.getvalue()
    return DecodedUpload(
        content=written,
        sha256=sha256(written).hexdigest(),
        width=pixels.width,
        height=pixels.height,
        mime_type=f"image/{kind.lower()}",
        extension={"PNG": "png", "JPEG": "jpg", "WEBP": "webp"}[kind],
    )


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except _BOMBS as error:
        raise FileTooLarge("File too large: it has too many pixels") from error
    except _BROKEN as error:
        raise UnsupportedImage from error


def _check(image: Image.Image) -> None:
    """Before anything is decoded."""
    if image.width * image.height > MOST_PIXELS or max(image.size) > LONGEST_SIDE:
        most = MOST_PIXELS // 1_000_000
        message = f"File too large: at most {most} megapixels and {LONGEST_SIDE} a side"
        raise FileTooLarge(message)
    if image.format != "MPO" and getattr(image, "is_animated", False):
        raise UnsupportedImage("Unsupported image format: animated")


def _plain(image: Image.Image) -> Image.Image:
    """Upright RGB, or RGBA where something is transparent, and no word beside the pixels."""
    turn = TURNS.get(_orientation(image) or 1)
    pixels = _in_srgb(_eight_bits(image))
    mode = "RGBA" if pixels.has_transparency_data else "RGB"
    pixels = pixels.convert(mode)
    pixels.info = {}
    return pixels if turn is None else pixels.transpose(turn)


def _orientation(image: Image.Image) -> int | None:
    """What can't be read of it turns nothing."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation)
    except _BROKEN:
        return None


def _eight_bits(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits of grey, which `convert` would clip
        return image.convert("I").point(lambda level: level * (1 / 257)).convert("L")
    return image


def _in_srgb(image: Image.Image) -> Image.Image:
    """The profile goes with the rest, so its colours are said in sRGB first."""
    profile = image.info.get("icc_profile")
    if not profile or image.mode not in ("RGB", "CMYK"):
        return image
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        return ImageCms.profileToProfile(image, source, _SRGB, outputMode="RGB") or image
    except (ImageCms.PyCMSError, *_BROKEN):  # as every viewer without colour management sees it
        return image


def _options(kind: str, content: bytes) -> dict[str, Any]:
    if kind == "JPEG":
        return {"quality": 95, "subsampling": 0}
    if kind == "WEBP":
        lossless = is_webp(content) and b"VP8L" in webp_chunks(content)
        return {"lossless": lossless, "quality": 80 if lossless else 95, "exact": lossless}
    return {"compress_level": 6}

"""A stored picture -> the same in another format, still marked as generated. Pure, and slow."""

from io import BytesIO
from typing import Any, Final

from PIL import Image

from services.engine.encoding import XMP

QUALITY: Final = 92  #: of JPEG and WebP, where artefacts stop to show


def converted(content: bytes, kind: str) -> bytes:
    """`kind` is `png`, `jpeg` or `webp`; the same bytes each time with the same Pillow."""
    with Image.open(BytesIO(content), formats=("PNG", "JPEG", "WEBP")) as image:
        if image.format == kind.upper():
            return content
        options: dict[str, Any] = {} if kind == "png" else {"quality": QUALITY, "xmp": XMP.encode()}
        pixels = image.convert("RGB") if kind == "jpeg" else image
        file = BytesIO()
        pixels.save(file, kind, **options)
    return file.getvalue()


def painted_where_clear(mask: bytes) -> bytes:
    """OpenAI's mask, which is transparent where the picture changes -> ours, which is white there.

    A PNG; raise `ValueError` for a mask that has no transparency.
    """
    with Image.open(BytesIO(mask), formats=("PNG", "JPEG", "WEBP")) as image:
        if not image.has_transparency_data:
            raise ValueError("The mask has no transparent pixels")
        alpha = image.convert("RGBA").getchannel("A")
    file = BytesIO()
    alpha.point(lambda level: 255 if level == 0 else 0).save(file, "PNG")
    return file.getvalue()

"""A stored picture and the same made again -> how alike they are, and why not more. Pure."""

import json
from collections.abc import Iterator
from io import BytesIO
from math import log10
from uuid import UUID

from PIL import Image, ImageChops, ImageStat
from pydantic import JsonValue

from schemas.manifest import Manifest
from schemas.verification import Difference, Sameness, Verification
from services.engine.encoding import read_manifest


def compared(image_id: UUID, stored: bytes, again: bytes) -> Verification:
    """Both are PNG files of ours, with their manifests."""
    before, after = read_manifest(stored), read_manifest(again)
    assert before is not None, "only a picture with a manifest is verified"
    assert after is not None, "the engine writes one"
    result, psnr = _alike(_pixels(stored), _pixels(again))
    because = tuple(_differences(before, after))
    return Verification(image_id=image_id, result=result, psnr=psnr, because=because)


def _pixels(png: bytes) -> Image.Image:
    with Image.open(BytesIO(png), formats=("PNG",)) as image:
        return image.convert("RGB")


def _alike(one: Image.Image, other: Image.Image) -> tuple[Sameness, float | None]:
    """With the peak signal-to-noise ratio over all three channels, in decibels."""
    if one.size != other.size:
        return Sameness.DIFFERENT, None
    apart = ImageStat.Stat(ImageChops.difference(one, other))
    widest = max(highest for _, highest in apart.extrema)
    if widest == 0:
        return Sameness.IDENTICAL, None
    error = sum(apart.sum2) / sum(apart.count)
    result = Sameness.CLOSE if widest == 1 else Sameness.DIFFERENT
    return result, round(10 * log10(255**2 / error), 2)


def _differences(before: Manifest, after: Manifest) -> Iterator[Difference]:
    was, now = (dict(_flat(each.model_dump(mode="json"))) for each in (before, after))
    for name in sorted(was.keys() | now.keys()):
        if was.get(name) != now.get(name):
            yield Difference(name=name, was=was.get(name, ""), now=now.get(name, ""))


def _flat(content: dict[str, JsonValue], above: str = "") -> Iterator[tuple[str, str]]:
    """Names with dots -> texts: what isn't text is its JSON."""
    for name, value in content.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value if isinstance(value, str) else json.dumps(value)

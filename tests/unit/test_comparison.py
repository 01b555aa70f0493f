"""Two pictures of ours -> how alike they are, and why not more."""

from math import log10
from uuid import uuid4

import pytest
from PIL import Image

from schemas.jobs import ReferenceRole, Tier
from schemas.manifest import Manifest, ManifestReference
from schemas.verification import Sameness
from services.comparison import compared
from services.engine.encoding import encode

IMAGE = uuid4()
MANIFEST = Manifest(
    prompt="a red circle",
    model="tiny",
    model_sha256="0" * 64,
    pipeline="StableDiffusionPipeline",
    scheduler="DDIMScheduler",
    tier=Tier.STANDARD,
    num_inference_steps=4,
    guidance_scale=5,
    width=8,
    height=8,
    seed=1,
    rows=2,
    dtype="float32",
    device="cpu",
    threads=1,
    libraries={"torch": "2.0", "diffusers": "0.42"},
)


def png(level: int = 100, size: int = 8, changes: dict[str, object] | None = None) -> bytes:
    pixels = Image.new("RGB", (size, size), (100, 100, 100))
    pixels.putpixel((3, 3), (100, level, 100))
    return encode(pixels, MANIFEST.model_copy(update=changes or {})).png


def test_the_same_file_is_identical_and_nothing_is_otherwise() -> None:
    found = compared(IMAGE, png(), png())

    assert found.image_id == IMAGE
    assert (found.result, found.psnr, found.because) == (Sameness.IDENTICAL, None, ())


@pytest.mark.parametrize(
    ("level", "result"),
    [(101, Sameness.CLOSE), (99, Sameness.CLOSE), (102, Sameness.DIFFERENT)],
)
def test_one_level_is_close_and_two_are_not(level: int, result: Sameness) -> None:
    found = compared(IMAGE, png(), png(level))
    error = (level - 100) ** 2 / (8 * 8 * 3)

    assert found.result == result
    assert found.psnr == round(10 * log10(255**2 / error), 2)


def test_another_size_is_another_picture() -> None:
    found = compared(IMAGE, png(), png(size=16))

    assert (found.result, found.psnr) == (Sameness.DIFFERENT, None)


def test_what_determines_the_pixels_and_is_not_as_it_was_is_named() -> None:
    reference = ManifestReference(sha256="1" * 64, role=ReferenceRole.IMAGE)
    changed: dict[str, object] = {
        "device": "NVIDIA H200",
        "libraries": {"torch": "3.0", "diffusers": "0.42"},
        "model_sha256": "f" * 64,
        "references": (reference,),
        "threads": 2,
    }

    found = compared(IMAGE, png(), png(102, changes=changed))

    assert [(each.name, each.was, each.now) for each in found.because] == [
        ("device", "cpu", "NVIDIA H200"),
        ("libraries.torch", "2.0", "3.0"),
        ("model_sha256", "0" * 64, "f" * 64),
        ("references", "[]", f'[{{"sha256": "{"1" * 64}", "role": "image"}}]'),
        ("threads", "1", "2"),
    ]


def test_pixels_count_when_only_the_manifest_is_another() -> None:
    found = compared(IMAGE, png(), png(changes={"threads": 2}))

    assert found.result is Sameness.IDENTICAL
    assert [each.name for each in found.because] == ["threads"]

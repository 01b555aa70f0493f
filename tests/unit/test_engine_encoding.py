"""PNG files: the same pixels and manifest give the same bytes, which tell what they are."""

import subprocess
import sys
from hashlib import sha256
from io import BytesIO

import pytest
from PIL import Image

from schemas.jobs import Tier
from schemas.manifest import Manifest
from services.engine.encoding import canonical, encode, read_manifest

MANIFEST = Manifest(
    prompt="ein roter Kreis & 円 🟥",
    negative_prompt="blue",
    model="tiny",
    model_sha256="0" * 64,
    pipeline="StableDiffusionPipeline",
    scheduler="DDIMScheduler",
    tier=Tier.DRAFT,
    num_inference_steps=4,
    guidance_scale=5.0,
    width=64,
    height=32,
    seed=2**53 - 1,
    rows=2,
    dtype="float32",
    device="cpu",
    threads=1,
    libraries={"torch": "2", "diffusers": "0"},
)
PIXELS = Image.linear_gradient("L").resize((64, 32)).convert("RGB")


def test_the_manifest_is_read_back() -> None:
    picture = encode(PIXELS, MANIFEST)

    assert read_manifest(picture.png) == MANIFEST
    assert picture.sha256 == sha256(picture.png).hexdigest()
    assert (picture.width, picture.height, picture.seed) == (64, 32, 2**53 - 1)


def test_the_pixels_are_kept_exactly() -> None:
    with Image.open(BytesIO(encode(PIXELS, MANIFEST).png)) as image:
        assert image.tobytes() == PIXELS.tobytes()


def test_the_order_of_libraries_does_not_change_the_bytes() -> None:
    turned = MANIFEST.model_copy(update={"libraries": dict(reversed(MANIFEST.libraries.items()))})

    assert encode(PIXELS, turned).png == encode(PIXELS, MANIFEST).png
    assert canonical(turned) == canonical(MANIFEST)


def test_other_tools_read_the_parameters_and_that_a_machine_made_it() -> None:
    with Image.open(BytesIO(encode(PIXELS, MANIFEST).png)) as image:
        assert isinstance(image.info["parameters"], str)
        lines = image.info["parameters"].splitlines()
        xmp = image.info["xmp"]

    assert lines[:2] == ["ein roter Kreis & 円 🟥", "Negative prompt: blue"]
    assert lines[2].startswith("Steps: 4, Sampler: DDIMScheduler, CFG scale: 5.0, Seed: 90071992")
    assert b"digitalsourcetype/trainedAlgorithmicMedia" in xmp


def test_a_picture_for_all_has_its_manifest_and_no_text_for_other_tools() -> None:
    picture = encode(PIXELS, MANIFEST, with_parameters=False)

    with Image.open(BytesIO(picture.png)) as image:
        assert "parameters" not in image.info
    assert read_manifest(picture.png) == MANIFEST


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\x00" * 100])
def test_what_is_no_png_has_no_manifest(content: bytes) -> None:
    assert read_manifest(content) is None


def test_a_png_of_others_has_no_manifest() -> None:
    file = BytesIO()
    PIXELS.save(file, "PNG")

    assert read_manifest(file.getvalue()) is None


def test_everything_but_the_child_does_without_torch() -> None:
    modules = "services.engine.catalogue, services.engine.process, services.engine.encoding"
    code = f"import {modules}, sys; assert not {{'torch', 'diffusers'}} & set(sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

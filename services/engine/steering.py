"""References' files -> what a picture starts from, at exactly its size. Pure; no torch."""

from collections.abc import Sequence
from hashlib import sha256
from io import BytesIO
from typing import Final, NamedTuple

from PIL import Image, ImageOps

from schemas.jobs import GenerationSpec, ReferenceRole
from schemas.manifest import ManifestReference
from services.errors import InvalidSpec

#: How much of a reference is noised away: at 0.8, diffusers' own default, the models that are
#: here keep next to nothing of it. Inside of a mask all is painted anew.
STRENGTH: Final = {"image": 0.6, "mask": 1.0}


class Steering(NamedTuple):
    """`image` is RGB and `mask` 0 or 255, where 255 is painted anew; both have the spec's size."""

    image: Image.Image
    mask: Image.Image | None
    strength: float
    used: tuple[ManifestReference, ...]  #: the others don't reach the pixels


def steering(spec: GenerationSpec, files: Sequence[bytes]) -> Steering | None:
    """The first reference steers, and the first mask says where; raise `InvalidSpec`."""
    if len(files) != len(spec.references):
        raise InvalidSpec(f"{len(spec.references)} references, but {len(files)} files")
    if not files:
        return None
    first: dict[ReferenceRole, bytes] = {}
    for reference, file in zip(spec.references, files, strict=True):
        first.setdefault(reference.role, file)
    if ReferenceRole.IMAGE not in first:
        raise InvalidSpec("A mask needs a picture to lie on")
    mask = first.get(ReferenceRole.MASK)
    usual = STRENGTH["image" if mask is None else "mask"]
    return Steering(
        image=_fitted(_opened(first[ReferenceRole.IMAGE]), spec),
        mask=None if mask is None else _binary(_fitted(_opened(mask), spec)),
        strength=usual if spec.strength is None else spec.strength,
        used=tuple(
            ManifestReference(sha256=sha256(file).hexdigest(), role=role)
            for role, file in first.items()
        ),
    )


def _opened(file: bytes) -> Image.Image:
    """RGB; what is transparent becomes white."""
    try:
        with Image.open(BytesIO(file), formats=("PNG", "JPEG", "WEBP")) as image:
            image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InvalidSpec("A reference's file can't be read") from error
    if not image.has_transparency_data:
        return image.convert("RGB")
    seen = image.convert("RGBA")
    paper = Image.new("RGBA", seen.size, "white")
    return Image.alpha_composite(paper, seen).convert("RGB")


def _fitted(image: Image.Image, spec: GenerationSpec) -> Image.Image:
    """The middle of it, as much as has the wanted ratio: nothing is squeezed."""
    return ImageOps.fit(image, (spec.width, spec.height), Image.Resampling.LANCZOS)


def _binary(image: Image.Image) -> Image.Image:
    return image.convert("L").point([255 * (level >= 128) for level in range(256)])

"""What the engine's child and its parent say to each other: frames of JSON and raw bytes.

A frame is the length of its head (4 bytes, big-endian), the head (JSON: the message and the
lengths of the blobs), then the blobs. No pickle: neither side can make the other run code.
"""

import struct
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from schemas.common import Seed, Sha256, Value
from schemas.jobs import GenerationSpec, Stage, Tier
from schemas.manifest import Manifest
from services.engine.encoding import EncodedPicture

LENGTH = struct.Struct("!I")


class Generate(Value):
    """Blobs: the references' files."""

    kind: Literal["generate"] = "generate"
    number: int  #: of the request; every answer repeats it
    spec: GenerationSpec


class Stop(Value):
    kind: Literal["stop"] = "stop"
    number: int


class Ready(Value):
    """The child has loaded the default model, or found that it can't."""

    kind: Literal["ready"] = "ready"
    number: int = 0


class Progressed(Value):
    kind: Literal["progressed"] = "progressed"
    number: int
    stage: Stage
    step: int
    steps: int


class PictureFacts(Value):
    sha256: Sha256
    width: int
    height: int
    seed: Seed
    manifest: Manifest


class Facts(Value):
    """Of a finished generation, but for its pictures."""

    model: str
    model_sha256: Sha256
    tier: Tier
    generation_seconds: float  #: from the request to the last file
    gpu_seconds: float  #: that the model was at work
    device: str


class Generated(Facts):
    pictures: tuple[EncodedPicture, ...]


class Finished(Value):
    """Blobs: the pictures' files."""

    kind: Literal["finished"] = "finished"
    number: int
    facts: Facts
    pictures: tuple[PictureFacts, ...]


class Refused(Value):
    """Ended without pictures: an error of `services.errors`, by its code."""

    kind: Literal["refused"] = "refused"
    number: int
    code: str
    message: str


Request = Annotated[Generate | Stop, Field(discriminator="kind")]
Reply = Annotated[Ready | Progressed | Finished | Refused, Field(discriminator="kind")]


class RequestFrame(Value):
    message: Request
    blobs: tuple[int, ...] = ()


class ReplyFrame(Value):
    message: Reply
    blobs: tuple[int, ...] = ()


def pack(message: Request | Reply, blobs: Sequence[bytes] = ()) -> bytes:
    frame = RequestFrame if isinstance(message, Generate | Stop) else ReplyFrame
    head = frame(message=message, blobs=tuple(len(blob) for blob in blobs)).model_dump_json()
    return b"".join((LENGTH.pack(len(head.encode())), head.encode(), *blobs))


def finished(number: int, generated: Generated) -> bytes:
    facts = Facts.model_validate(generated.model_dump(exclude={"pictures"}))
    pictures = tuple(
        PictureFacts.model_validate(picture.model_dump(exclude={"png"}))
        for picture in generated.pictures
    )
    message = Finished(number=number, facts=facts, pictures=pictures)
    return pack(message, [picture.png for picture in generated.pictures])


def generated(message: Finished, blobs: Sequence[bytes]) -> Generated:
    pictures = tuple(
        EncodedPicture(png=png, **picture.model_dump())
        for picture, png in zip(message.pictures, blobs, strict=True)
    )
    return Generated(pictures=pictures, **message.facts.model_dump())

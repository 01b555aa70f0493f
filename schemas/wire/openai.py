"""OpenAI's Images API: request bodies in, replies out of jobs. Pure: no I/O, no clock."""

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Final, Literal
from uuid import UUID

from pydantic import Field, WithJsonSchema

from schemas.common import Prompt, Seed, Text, Value
from schemas.jobs import Job, Tier

FILES_PATH: Final = "/v1/images/files/"
USER_IN_META: Final = "user"
#: Names that OpenAI's clients are written with; here they mean the default model.
OPENAI_S_OWN: Final = re.compile(r"(dall-e|gpt-image|chatgpt-image)-[a-z0-9.-]{1,80}")
TIERS: Final = {
    "auto": Tier.STANDARD,
    "low": Tier.DRAFT,
    "medium": Tier.STANDARD,
    "standard": Tier.STANDARD,
    "high": Tier.HIGH,
    "hd": Tier.HIGH,
    "xhigh": Tier.ULTRA,
    "max": Tier.ULTRA,
    "draft": Tier.DRAFT,
    "ultra": Tier.ULTRA,
}
QUALITIES: Final = {
    Tier.DRAFT: "low",
    Tier.STANDARD: "medium",
    Tier.HIGH: "high",
    Tier.ULTRA: "max",
}


class OutputFormat(StrEnum):
    PNG = "png"
    JPEG = "jpeg"
    WEBP = "webp"


class ResponseFormat(StrEnum):
    URL = "url"
    B64_JSON = "b64_json"


Quality = Literal[
    "auto", "low", "medium", "standard", "high", "hd", "xhigh", "max", "draft", "ultra"
]
ModelName = Annotated[Text, Field(min_length=1, max_length=200)]
SizeText = Annotated[str, Field(pattern=r"^(auto|[1-9][0-9]{0,3}x[1-9][0-9]{0,3})$")]
File = Annotated[bytes, WithJsonSchema({"type": "string", "format": "binary"})]


class ImagesBody(Value):
    """What generations and edits have in common; the text fields of an edit's form."""

    prompt: Annotated[Prompt, Field(min_length=1)]
    model: ModelName | None = None
    n: Annotated[int, Field(ge=1, le=10, strict=True)] | None = None
    size: SizeText | None = None
    quality: Quality | None = None
    response_format: ResponseFormat | None = None
    output_format: OutputFormat | None = None
    seed: Seed | None = None  #: ours
    user: Annotated[Text, Field(max_length=200)] | None = None
    stream: Literal[False] | None = None  #: pictures come whole

    @property
    def tier(self) -> Tier:
        return TIERS[self.quality or "auto"]

    @property
    def sides(self) -> tuple[int, int] | None:
        """Width and height, or None for the model's own."""
        if self.size in (None, "auto"):
            return None
        width, _, height = str(self.size).partition("x")
        return int(width), int(height)


class EditForm(ImagesBody):
    """As it is described; the files are read as they come. `image[]` is another spelling."""

    image: File
    mask: File | None = None


class ImageData(Value):
    """One of `url` and `b64_json`; `seed` makes the same picture again."""

    url: str | None = None
    b64_json: str | None = None
    seed: int | None = None


class ImagesReply(Value):
    created: int  #: Unix time
    data: tuple[ImageData, ...]
    output_format: OutputFormat
    quality: str
    size: str


class ModelReply(Value):
    id: str
    object: Literal["model"] = "model"
    created: int = 0  #: the catalogue doesn't know when
    owned_by: str = "darkroom"


class ModelList(Value):
    object: Literal["list"] = "list"
    data: tuple[ModelReply, ...]


#: Where OpenAI has another word for a refusal.
CODES: Final = {"unauthorized": "invalid_api_key", "rate_limited": "rate_limit_exceeded"}


class OpenAIError(Value):
    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIErrorReply(Value):
    """The answer to a request that is refused."""

    error: OpenAIError


def replied(job: Job, data: Sequence[ImageData], output_format: OutputFormat) -> ImagesReply:
    return ImagesReply(
        created=int(job.created_at.timestamp()),
        data=tuple(data),
        output_format=output_format,
        quality=QUALITIES[job.spec.tier],
        size=f"{job.spec.width}x{job.spec.height}",
    )


def file_path(image: UUID, output_format: OutputFormat) -> str:
    return f"{FILES_PATH}{image}.{output_format}"

"""Studio's live pictures: queries and bodies in, signed URLs out. camelCase."""

from collections.abc import Mapping
from typing import Annotated, Final, Self, TypeVar
from uuid import UUID

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from schemas.common import SEED_LIMIT, Prompt, Seed, Time
from schemas.jobs import Tier
from schemas.live import LiveUrl
from schemas.wire.studio import Camel
from schemas.wire.studio_generations import Name

PATH: Final = "/api/v1/live"
YEAR: Final = 365 * 24 * 3600  #: seconds
MOST_VALUES: Final = 200  #: of one parameter: the longest prompts fit into a body

T = TypeVar("T")

Some = Annotated[tuple[T, ...], Field(min_length=1, max_length=MOST_VALUES)]
ModelName = Annotated[Name, Field(min_length=1)]


class LiveQuery(Camel):
    """The query of a live picture; with a `token`, what its URL leaves open."""

    prompt: Prompt | None = None
    aspect_ratio: Name = "1:1"
    model: ModelName = "default"
    seed: Annotated[int, Field(ge=0, lt=SEED_LIMIT)] | None = None
    quality: Tier = Tier.STANDARD
    token: Name | None = None


class LiveParams(Camel):
    """Values that a request may choose from; what is listed must be named, nothing else may."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")

    prompt: Some[Prompt] | None = None
    aspect_ratio: Some[Name] | None = None
    model: Some[ModelName] | None = None
    seed: Some[Seed] | None = None
    quality: Some[Tier] | None = None


class LiveUrlBody(Camel):
    """What a URL stands for: a parameter is either fixed or one of `params`, or has its default."""

    prompt: Prompt | None = None
    aspect_ratio: Name | None = None
    model: ModelName | None = None
    seed: Seed | None = None
    quality: Tier | None = None
    params: LiveParams | None = None
    expires_in: Annotated[int, Field(ge=1, le=YEAR, strict=True)] = YEAR  #: seconds
    max_images: Annotated[int, Field(ge=0, le=2**31 - 1, strict=True)] | None = None

    @property
    def fixed(self) -> dict[str, str]:
        given = self.model_dump(
            mode="json", by_alias=True, exclude={"params", "expires_in", "max_images"}
        )
        return {name: str(value) for name, value in given.items() if value is not None}

    @property
    def allowed(self) -> dict[str, tuple[str, ...]]:
        if self.params is None:
            return {}
        given = self.params.model_dump(mode="json", by_alias=True, exclude_none=True)
        return {name: tuple(str(value) for value in values) for name, values in given.items()}


class NewLiveUrl(Camel):
    """With `params`, a request adds one value of each to the URL's query."""

    id: UUID
    url: str
    expires_at: Time


class LiveUrlReply(NewLiveUrl):
    """`fixed` and `params` are what a request asks for; `imageCount` pictures it has made."""

    fixed: Mapping[str, str]
    params: Mapping[str, tuple[str, ...]]
    max_images: int | None
    image_count: int
    created_at: Time
    revoked_at: Time | None

    @classmethod
    def of(cls, url: LiveUrl, address: str) -> Self:
        return cls(
            id=url.id,
            url=address,
            expires_at=url.expires_at,
            fixed=url.fixed,
            params=url.allowed,
            max_images=url.max_images,
            image_count=url.made,
            created_at=url.created_at,
            revoked_at=url.revoked_at,
        )

"""The studio dialect's envelopes: every reply says whether it succeeded. camelCase."""

from typing import Annotated, Generic, Literal, Self, TypeVar

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from schemas.common import Value

T = TypeVar("T")


class Camel(Value):
    """A body or reply whose field names are camelCase on the wire."""

    model_config = ConfigDict(alias_generator=to_camel)


class Data(Camel, Generic[T]):
    success: Literal[True] = True
    data: T


class Pagination(Camel):
    limit: int
    offset: int
    total: int
    has_more: bool


class Page(Camel, Generic[T]):
    """A list, newest first."""

    success: Literal[True] = True
    data: tuple[T, ...]
    pagination: Pagination

    @classmethod
    def of(cls, data: tuple[T, ...], total: int, asked: "PageQuery") -> Self:
        pagination = Pagination(
            limit=asked.limit,
            offset=asked.offset,
            total=total,
            has_more=asked.offset + len(data) < total,
        )
        return cls(data=data, pagination=pagination)


class PageQuery(Camel):
    """What the query of every list may say."""

    limit: Annotated[int, Field(ge=1, le=100)] = 20
    offset: Annotated[int, Field(ge=0, le=1_000_000)] = 0


class Error(Camel):
    code: str
    message: str


class ErrorReply(Camel):
    """The answer to a request that is refused."""

    success: Literal[False] = False
    error: Error

"""The studio dialect's envelopes: every reply says whether it succeeded. camelCase."""

from typing import Generic, Literal, TypeVar

from pydantic import ConfigDict
from pydantic.alias_generators import to_camel

from schemas.common import Value

T = TypeVar("T")


class Camel(Value):
    """A body or reply whose field names are camelCase on the wire."""

    model_config = ConfigDict(alias_generator=to_camel)


class Data(Camel, Generic[T]):
    success: Literal[True] = True
    data: T


class Error(Camel):
    code: str
    message: str


class ErrorReply(Camel):
    """The answer to a request that is refused."""

    success: Literal[False] = False
    error: Error

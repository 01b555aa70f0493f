"""The value types that every schema shares."""

from datetime import UTC, datetime
from math import isfinite
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

SEED_LIMIT = 2**53  #: seeds are below it, so that every JSON reader keeps them exact
PROMPT_LIMIT = 4_000  #: characters


class Value(BaseModel):
    """Frozen, and forgiving: a reader ignores fields that a newer writer adds."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("must be in the years 1 to 9999 in UTC") from error


def _storable(text: str) -> str:
    """Refuse what UTF-8, BSON and PNG can't hold: lone surrogates and NUL."""
    if "\x00" in text:
        raise ValueError("must not contain NUL characters")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("must be valid Unicode text") from error
    return text


def _plain(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Refuse JSON that BSON can't keep: deep nesting, wide integers, unstorable text."""
    _walk(value, depth=0)
    return value


def _walk(value: JsonValue, depth: int) -> None:
    if depth > 32:
        raise ValueError("must not nest deeper than 32 levels")
    if isinstance(value, str):
        _storable(value)
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("integers must fit in 64 bits")
    elif isinstance(value, float) and not isfinite(value):
        raise ValueError("numbers must be finite")
    elif isinstance(value, dict):
        for key, item in value.items():
            _storable(key)
            _walk(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _walk(item, depth + 1)


Time = Annotated[datetime, AfterValidator(_utc)]
Text = Annotated[str, AfterValidator(_storable)]
Prompt = Annotated[str, AfterValidator(_storable), Field(max_length=PROMPT_LIMIT)]
Seed = Annotated[int, Field(ge=0, lt=SEED_LIMIT, strict=True)]
Meta = Annotated[dict[str, JsonValue], AfterValidator(_plain)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
ProjectId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
RelativePath = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9/._-]{0,199}$")]


def now() -> datetime:
    """The present in UTC, at the millisecond that BSON can keep."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)

"""What is out of date in a flow, and what making it again costs."""

from uuid import UUID

from pydantic import Field, StrictBool

from schemas.wire.studio import Camel


class Reason(Camel):
    """`is` is null for what is out of date itself, and has to be made again first."""

    kind: str  #: alias, preset, model or reference
    name: str
    was: str
    now: str | None = Field(alias="is")


class StaleGeneration(Camel):
    generation_id: UUID
    because: tuple[Reason, ...]


class StaleReply(Camel):
    """Each after what it is made from."""

    stale: tuple[StaleGeneration, ...]


class RefreshBody(Camel):
    dry_run: StrictBool = False


class RefreshReply(Camel):
    generations: tuple[UUID, ...]
    estimated_seconds: float
    cost: float  #: in the catalogue's currency
    dry_run: bool

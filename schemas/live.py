"""Live pictures: what a cache key has, and the URLs that may ask without an API key."""

from datetime import datetime
from uuid import UUID

from pydantic import Field

from schemas.common import ProjectId, Text, Time, Value, now


class LivePicture(Value):
    """The document in `live`: a cache key, and the job whose picture it has."""

    id: str = Field(alias="_id")  #: the cache key
    project: ProjectId
    job_id: UUID
    urls: tuple[UUID, ...] = ()  #: signed URLs against whose cap it has counted
    failures: int = 0  #: of jobs before this one, without a success between
    hits: int = 0  #: of this job's picture
    claimed_at: Time = Field(default_factory=now)


class LiveUrl(Value):
    """The document in `live_urls`: what a signed URL may ask for."""

    id: UUID = Field(alias="_id")
    project: ProjectId
    fixed: dict[str, Text]  #: parameters of every request
    allowed: dict[str, tuple[Text, ...]]  #: parameters that a request must name, and their values
    max_images: int | None = None  #: distinct new pictures; None: no cap
    made: int = 0
    created_at: Time = Field(default_factory=now)
    expires_at: Time
    revoked_at: Time | None = None

    def seconds_left(self, moment: datetime) -> float:
        return (self.expires_at - moment).total_seconds()

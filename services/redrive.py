"""Dead letters in -> the original messages, as they were, on their own topics again."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Final

from pydantic import ValidationError

from schemas.common import Time, Value, now
from schemas.events import DeadLetter, DeadLetterData
from schemas.topics import DEAD_LETTERS, TOPICS
from services.broker import Publisher
from services.errors import InvalidRequest, NotFound
from services.event_log import EventLog, LogRecord
from services.mongo import Mongo

KEPT: Final = "dead_letter_marks"  #: the collection of what was done about letters


class LetterId(Value):
    """Where the letter lies: "dead-letters:1:17"; the topic without its prefix."""

    partition: int
    offset: int

    @classmethod
    def parse(cls, text: str) -> "LetterId":
        """Raise `InvalidRequest`."""
        topic, _, place = text.partition(":")
        partition, _, offset = place.partition(":")
        if topic != DEAD_LETTERS.name or not (partition.isdecimal() and offset.isdecimal()):
            wanted = f"{DEAD_LETTERS.name}:PARTITION:OFFSET"
            raise InvalidRequest(f"{text!r} is no dead letter's id, which is {wanted}")
        return cls(partition=int(partition), offset=int(offset))

    def __str__(self) -> str:
        return f"{DEAD_LETTERS.name}:{self.partition}:{self.offset}"


class Mark(Value):
    """What was done about a letter; Kafka itself forgets nothing on demand."""

    redriven_at: Time | None = None
    dropped_at: Time | None = None


class Letter(Value):
    id: LetterId
    time: datetime
    project: str
    data: DeadLetterData
    mark: Mark = Mark()


class DeadLetters:
    """Raises `NotFound`, `InvalidRequest`, one of `BROKER_OUTAGES` or of MongoDB's."""

    def __init__(self, event_log: EventLog, mongo: Mongo, publisher: Publisher) -> None:
        self._log = event_log
        self._marks = mongo.database[KEPT]
        self._publisher = publisher

    async def kept(self) -> AsyncIterator[Letter]:
        """All that Kafka still has, those that were dropped too."""
        done = self._marks.find()
        marks = {found["_id"]: Mark.model_validate(found) async for found in done}
        async for record in self._log.kept():
            if letter := _letter(record):
                yield letter.model_copy(update={"mark": marks.get(str(letter.id), Mark())})

    async def find(self, place: LetterId) -> Letter:
        record = await self._log.record(DEAD_LETTERS, place.partition, place.offset)
        letter = _letter(record) if record else None
        if letter is None:
            raise NotFound(f"There is no dead letter {place}")
        mark = await self._marks.find_one({"_id": str(place)})
        return letter.model_copy(update={"mark": Mark.model_validate(mark or {})})

    async def redrive(self, letter: Letter, *, again: bool = False) -> Letter:
        """Publish, then mark: a crash between both leaves a letter that can be sent once more,
        and its readers don't mind."""
        if letter.mark.redriven_at is not None and not again:
            raise InvalidRequest(f"{letter.id} was redriven at {letter.mark.redriven_at:%c} UTC")
        data = letter.data
        if data.topic not in {self._publisher.prefix + topic.name for topic in TOPICS}:
            raise InvalidRequest(f"{letter.id} came from {data.topic!r}, which is no topic of ours")
        await self._publisher.publish_again(data.topic, data.key, data.value, data.headers)
        return await self._marked(letter, Mark(redriven_at=now()))

    async def drop(self, letter: Letter) -> Letter:
        return await self._marked(letter, Mark(dropped_at=now()))

    async def _marked(self, letter: Letter, mark: Mark) -> Letter:
        said = mark.model_dump(exclude_none=True)
        marked = said | {"marked_at": now()}
        await self._marks.update_one({"_id": str(letter.id)}, {"$set": marked}, upsert=True)
        return letter.model_copy(update={"mark": letter.mark.model_copy(update=said)})


def _letter(record: LogRecord) -> Letter | None:
    """None for what somebody else has put on the topic."""
    try:
        event = DeadLetter.model_validate_json(record.value)
    except ValidationError:
        return None
    return Letter(
        id=LetterId(partition=record.partition, offset=record.offset),
        time=record.time,
        project=event.projectid,
        data=event.data,
    )

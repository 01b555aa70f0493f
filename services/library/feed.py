"""Changes of a library -> rows of its outbox, numbered, in the transaction that makes them."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple, TypeVar
from uuid import uuid5
from weakref import WeakValueDictionary

from pymongo import ReturnDocument

from schemas.cloudevents import NAMESPACE, CloudEvent, schema_path
from schemas.common import now
from services.mongo import Document, Mongo, Session

T = TypeVar("T")


class Change(NamedTuple):
    """What happened, but for its number: an event's type, of what, and its data."""

    event: type[CloudEvent]
    subject: str
    facts: dict[str, Any]


def change(event: type[CloudEvent], subject: object, **facts: Any) -> Change:  # noqa: ANN401
    """`facts` are those of the event's data, without its `sequence`."""
    return Change(event, str(subject), facts)


class Feed:
    """A project's rows are committed in the order of their numbers: all count in one document."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def transaction(
        self, project: str, work: Callable[[Session], Coroutine[Any, Any, T]]
    ) -> T:
        """Run `work`, which may `record`; one at a time of a project, since they would collide."""
        async with self._turns.setdefault(project, asyncio.Lock()):
            return await self._mongo.transaction(work)

    async def record(self, session: Session, project: str, *changes: Change) -> None:
        """Last in the transaction: from here on no other of the project gets through."""
        if not changes:
            return
        counted = await self._mongo.feeds.find_one_and_update(
            {"_id": project},
            {"$inc": {"sequence": len(changes)}},
            upsert=True,
            return_document=ReturnDocument.AFTER,
            session=session,
        )
        assert counted is not None, "an upsert finds what it has made"
        first = counted["sequence"] - len(changes) + 1
        rows = [_row(project, first + place, made) for place, made in enumerate(changes)]
        await self._mongo.library_outbox.insert_many(rows, session=session)


def _row(project: str, sequence: int, made: Change) -> Document:
    kind = made.event.model_fields["type"].default
    event = made.event.model_validate(
        {
            "id": str(uuid5(NAMESPACE, f"{project}\n{sequence}")),
            "source": "/api",
            "subject": made.subject,
            "dataschema": schema_path(kind),
            "projectid": project,
            "data": {"sequence": sequence, **made.facts},
        }
    )
    row = {"project": project, "sequence": sequence, "event": event.encode()}
    return {**row, "recorded_at": now()}

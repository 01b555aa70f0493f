"""recipes.events in -> recipes that are known; what can't be trusted goes to the dead letters."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final

import structlog
from pydantic import ValidationError

from schemas.events import RecipePublished
from services.broker import Publisher
from services.dead_letters import Record, bury
from services.errors import Forbidden, UnreadableMessage
from services.producers import Producers
from services.recipes.store import Recipes
from services.redelivery import waited_out
from services.settings import Settings

log = structlog.get_logger()

GROUP: Final = "recipes"
SOURCE: Final = "/workers/outbox"
TYPE: Final[str] = RecipePublished.model_fields["type"].default


class Learning:
    """Every step may be done twice: what is known already changes nothing."""

    def __init__(
        self, settings: Settings, producers: Producers, recipes: Recipes, publisher: Publisher
    ) -> None:
        self._settings = settings
        self._producers = producers
        self._recipes = recipes
        self._publisher = publisher

    async def learn(self, records: Sequence[Record]) -> None:
        """Return when all of `records` may be committed: an outage is waited out, not skipped."""
        for record in records:
            await waited_out(partial(self._learn, record), "recipes")

    async def _learn(self, record: Record) -> None:
        try:
            event = await self._read(record)
        except UnreadableMessage as error:
            await bury(self._publisher, record, error, self._settings.project, SOURCE)
            return
        moment = _published_at(event, record.timestamp)
        news = await self._recipes.learn(event.projectid, event.data, moment)
        log.info("recipe_learned" if news else "recipe_known", recipe=event.data.recipe_id)

    async def _read(self, record: Record) -> RecipePublished:
        value = record.value or b""
        trusted = await self._producers.trusted(value, tuple(record.headers))
        if not trusted.may_produce:
            raise UnreadableMessage("forbidden", str(Forbidden()))
        if trusted.envelope.type != TYPE:
            raise UnreadableMessage("unknown_type", "no such event")
        try:
            return RecipePublished.model_validate_json(value)
        except ValidationError as error:
            where = sorted({".".join(map(str, each["loc"])) for each in error.errors()})
            told = f"the recipe is not valid at {', '.join(where[:5])}"
            raise UnreadableMessage("invalid_recipe", told[:500]) from None


def _published_at(event: RecipePublished, timestamp: int) -> datetime:
    """When Kafka got it (milliseconds) or earlier: a date in the future would win for ever."""
    arrived = datetime.fromtimestamp(timestamp / 1000, UTC)
    return min(event.time, arrived) if "time" in event.model_fields_set else arrived

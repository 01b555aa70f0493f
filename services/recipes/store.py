"""Recipes by project and id: what was published last, whether on Kafka or by PUT."""

from datetime import datetime

from pymongo.errors import DuplicateKeyError

from schemas.common import Value, now
from schemas.recipes import Recipe
from services.mongo import Document, Mongo


class _Stored(Value):
    """The document in `recipes`."""

    project: str
    recipe: Recipe
    published_at: datetime


class Recipes:
    def __init__(self, mongo: Mongo) -> None:
        self._recipes = mongo.recipes

    async def get(self, project: str, recipe_id: str) -> Recipe | None:
        document = await self._recipes.find_one(_named(project, recipe_id))
        return None if document is None else _Stored.model_validate(document).recipe

    async def save(self, project: str, recipe: Recipe) -> None:
        """Whatever was known: the answer to a PUT says that it holds."""
        stored = _Stored(project=project, recipe=recipe, published_at=now())
        while True:
            try:
                await self._set(stored, _named(project, recipe.recipe_id), upsert=True)
            except DuplicateKeyError:  # another process has just put the first one there
                continue
            return

    async def learn(self, project: str, recipe: Recipe, published_at: datetime) -> bool:
        """Unless something newer is known; the same again changes nothing."""
        stored = _Stored(project=project, recipe=recipe, published_at=published_at)
        older = {**_named(project, recipe.recipe_id), "published_at": {"$lte": published_at}}
        try:
            return await self._set(stored, older, upsert=True)
        except DuplicateKeyError:  # there is a newer one, or since now an older one
            return await self._set(stored, older, upsert=False)

    async def _set(self, stored: _Stored, wanted: Document, *, upsert: bool) -> bool:
        changes = {"$set": stored.model_dump()}
        written = await self._recipes.update_one(wanted, changes, upsert=upsert)
        return bool(written.matched_count or written.upserted_id)


def _named(project: str, recipe_id: str) -> Document:
    return {"project": project, "recipe.recipe_id": recipe_id}

"""Recipes that other services publish, to have their steps illustrated."""

from typing import Annotated

from pydantic import Field

from schemas.common import Prompt, Text, Value

RecipeId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class RecipeStep(Value):
    description: Prompt


class Recipe(Value):
    recipe_id: RecipeId
    title: Annotated[Text, Field(min_length=1, max_length=500)]
    steps: Annotated[tuple[RecipeStep, ...], Field(max_length=100)]

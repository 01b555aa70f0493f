"""What is asked for of a recipe -> wishes, each with its composed prompt."""

from collections.abc import Sequence

from schemas.jobs import Dialect, GenerationSpec, Lane
from schemas.recipes import Recipe
from schemas.wire.recipes import META, Depicted, HeroBody, Kind, StepBody
from services.accounts import Caller
from services.admission import Wish
from services.engine.catalogue import Catalogue
from services.recipes.prompts import composed


def hero(body: HeroBody, recipe_id: str, caller: Caller, catalogue: Catalogue) -> Wish:
    prompt = composed("hero", title=body.title, description=body.description, style=body.style)
    depicted = Depicted(kind=Kind.HERO, recipe_id=recipe_id)
    return _wish(prompt, depicted, caller, catalogue)


def step(body: StepBody, depicted: Depicted, caller: Caller, catalogue: Catalogue) -> Wish:
    prompt = composed("step", description=body.description, style=body.style)
    return _wish(prompt, depicted, caller, catalogue)


def steps(
    recipe: Recipe, title: str | None, style: str | None, caller: Caller, catalogue: Catalogue
) -> Sequence[Wish]:
    """One a step, in their order; `title` is the recipe's where it is known."""
    return [
        _wish(
            composed("step", title=title, description=each.description, style=style),
            Depicted(kind=Kind.BATCH, recipe_id=recipe.recipe_id, step_index=index),
            caller,
            catalogue,
        )
        for index, each in enumerate(recipe.steps, start=1)
    ]


def _wish(prompt: str, depicted: Depicted, caller: Caller, catalogue: Catalogue) -> Wish:
    size = catalogue.default.size_for("1:1")
    return Wish(
        spec=GenerationSpec(prompt=prompt, width=size.width, height=size.height),
        dialect=Dialect.RECIPES,
        lane=Lane.BATCH if depicted.kind is Kind.BATCH else Lane.INTERACTIVE,
        owner=caller.owner,
        aspect_ratio="1:1",
        meta={META: depicted.model_dump(mode="json", exclude_none=True)},
    )

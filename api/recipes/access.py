"""What every route of recipes reads from a path."""

from typing import Final

from pydantic import TypeAdapter, ValidationError

from api.requests import from_caller
from api.state import AppRequest
from schemas.recipes import RecipeId
from schemas.wire.recipes import StepNumber
from services.errors import NotFound

_RECIPE: Final[TypeAdapter[str]] = TypeAdapter(RecipeId)
_STEP: Final[TypeAdapter[int]] = TypeAdapter(StepNumber)


def recipe_id(request: AppRequest) -> str:
    """Raise `NotFound` for what can't be one."""
    try:
        return _RECIPE.validate_python(request.path_params["recipe_id"])
    except ValidationError:
        raise NotFound("Recipe not found") from None


def step_number(request: AppRequest) -> int:
    """Raise `NotFound` for what is no number, `InvalidRequest` for one that no step has."""
    text: str = request.path_params["n"]
    if not (text.isascii() and text.isdigit()):
        raise NotFound("Step not found")
    with from_caller():
        return _STEP.validate_python(text)

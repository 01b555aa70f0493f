"""Title, description and style in -> the prompt that the kind's template makes of them."""

from functools import cache
from pathlib import Path
from typing import Final, Literal

import yaml
from pydantic import TypeAdapter

Picture = Literal["hero", "step"]

TEMPLATES: Final = Path(__file__).with_name("prompts.yaml")
_Templates = TypeAdapter(dict[Picture, tuple[str, ...]])


def composed(
    picture: Picture,
    *,
    title: str | None = None,
    description: str | None = None,
    style: str | None = None,
) -> str:
    """Texts are put in as they are, but for spaces and full stops around them."""
    given = {"title": title, "description": description, "style": style}
    texts = {name: text.strip().rstrip(".").rstrip() for name, text in given.items() if text}
    texts = {name: text for name, text in texts.items() if text}
    parts = _templates()[picture]
    absent = {f"{{{name}}}" for name in set(given) - set(texts)}
    said = [part for part in parts if not any(name in part for name in absent)]
    return ", ".join(part.format(**texts) for part in said)


@cache
def _templates() -> dict[Picture, tuple[str, ...]]:
    return _Templates.validate_python(yaml.safe_load(TEMPLATES.read_text("utf-8")))

"""Two JSON Schemas of one event type in, what the newer breaks for others out.

Old messages must stay valid and old readers must find what they read: nothing removed, retyped,
narrowed or newly required. Fields, and values of an enumeration, may be added.
"""

from collections.abc import Iterator
from typing import Any, Final

JsonSchema = dict[str, Any]

LOWER_BOUNDS: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems")
UPPER_BOUNDS: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")
FIXED: Final = ("const", "format", "pattern")


def breaks(old: JsonSchema, new: JsonSchema) -> list[str]:
    """Each break as "<JSON Pointer>: <what>"; empty when `new` may replace `old`."""
    return list(_compare(_inlined(old, old, ()), _inlined(new, new, ()), ""))


def _inlined(schema: Any, root: JsonSchema, within: tuple[str, ...]) -> Any:  # noqa: ANN401
    """`schema` with every `$ref` replaced; one that leads back into itself stays."""
    if isinstance(schema, list):
        return [_inlined(item, root, within) for item in schema]
    if not isinstance(schema, dict):
        return schema
    name = schema.get("$ref", "").removeprefix("#/$defs/")
    if name and name not in within:
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        return _inlined({**root["$defs"][name], **beside}, root, (*within, name))
    return {key: _inlined(value, root, within) for key, value in schema.items() if key != "$defs"}


def _compare(old: JsonSchema, new: JsonSchema, at: str) -> Iterator[str]:
    if _kind(old) != _kind(new):
        yield f"{at}: retyped from {_kind(old)} to {_kind(new)}"
        return
    yield from _narrowed(old, new, at)
    for name in new.get("required", []):
        if name not in old.get("required", []):
            yield f"{at}/{name}: newly required"
    for name, field in old.get("properties", {}).items():
        if name in new["properties"]:
            yield from _compare(field, new["properties"][name], f"{at}/{name}")
        else:
            yield f"{at}/{name}: removed"
    for keyword in ("items", "additionalProperties"):
        if isinstance(old.get(keyword), dict) and isinstance(new.get(keyword), dict):
            yield from _compare(old[keyword], new[keyword], f"{at}/*")
    # pydantic keeps the order of a union, so alternatives are compared by place
    for one, other in zip(old.get("anyOf", []), new.get("anyOf", []), strict=True):
        yield from _compare(one, other, at)


def _narrowed(old: JsonSchema, new: JsonSchema, at: str) -> Iterator[str]:
    if gone := [value for value in old.get("enum", []) if value not in new.get("enum", [])]:
        yield f"{at}: lost the values {gone}"
    for keyword in FIXED:
        if keyword in new and old.get(keyword) != new[keyword]:
            yield f"{at}: {keyword} is now {new[keyword]!r}"
    for keyword in LOWER_BOUNDS:
        if keyword in new and (keyword not in old or new[keyword] > old[keyword]):
            yield f"{at}: {keyword} is now {new[keyword]}"
    for keyword in UPPER_BOUNDS:
        if keyword in new and (keyword not in old or new[keyword] < old[keyword]):
            yield f"{at}: {keyword} is now {new[keyword]}"


def _kind(schema: JsonSchema) -> str:
    if "anyOf" in schema:
        return f"one of {len(schema['anyOf'])}"
    return str(schema.get("type", schema.get("$ref", "anything")))

"""An AsyncAPI document -> one page of plain HTML, without script."""

import re
from collections.abc import Iterator
from html import escape
from typing import Any

Json = dict[str, Any]

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Darkroom: events</title>
<link rel="stylesheet" href="/docs/events.css">
</head>
<body>
<header>
<h1>Events</h1>
<p>{description}
The same for machines: <a href="/asyncapi.json">asyncapi.json</a>.
Over HTTP: <a href="/docs">the API</a>.</p>
<nav>{contents}</nav>
</header>
<main>{channels}</main>
</body>
</html>
"""


def page(document: Json) -> str:
    channels = document["channels"]
    return PAGE.format(
        description=_text(document["info"]["description"]),
        contents=" ".join(
            f'<a href="#{name}">{escape(channel["address"])}</a>'
            for name, channel in channels.items()
        ),
        channels="".join(_channel(name, channel, document) for name, channel in channels.items()),
    )


def _channel(name: str, channel: Json, document: Json) -> str:
    kafka = channel["bindings"]["kafka"]
    days = kafka["topicConfiguration"]["retention.ms"] // 86_400_000
    kept = "for ever" if days < 0 else "for a day" if days == 1 else f"for {days} days"
    messages = [document["components"]["messages"][message] for message in channel["messages"]]
    return (
        f'<section id="{name}"><h2>{escape(channel["address"])}</h2>'
        f"<p>{_text(channel['description'])} {kafka['partitions']} partitions, kept {kept}. "
        f"Key: {_text(messages[0]['bindings']['kafka']['key']['description'])}</p>"
        + "".join(_message(message, document) for message in messages)
        + "</section>"
    )


def _message(message: Json, document: Json) -> str:
    headers = message.get("headers", {}).get("properties", {})
    signed = "".join(
        f"<p>Header <code>{escape(name)}</code>: {_text(header['description'])}</p>"
        for name, header in headers.items()
    )
    rows = "".join(_rows(message["payload"], document))
    return (
        f"<details><summary><code>{escape(message['name'])}</code></summary>{signed}"
        "<table><thead><tr><th>Field</th><th>Type</th><th>Required</th><th>Rules</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>"
        f'<p><a href="{escape(message["externalDocs"]["url"])}">JSON Schema</a></p></details>'
    )


def _rows(schema: Json, document: Json, path: str = "", depth: int = 0) -> Iterator[str]:
    """One row a field, those of `data` below it; deeper ones are in the JSON Schema."""
    schema = _resolved(schema, document)
    for name, field in schema.get("properties", {}).items():
        required = "yes" if name in schema.get("required", ()) else ""
        rules = escape(", ".join(_rules(field)))
        yield (
            f"<tr><td><code>{escape(path + name)}</code></td><td>{escape(_kind(field))}</td>"
            f"<td>{required}</td><td>{rules}</td></tr>"
        )
        if depth < 2:
            inner = field.get("items", field)
            suffix = "[]." if "items" in field else "."
            yield from _rows(inner, document, f"{path}{name}{suffix}", depth + 1)


def _text(described: str) -> str:
    return re.sub(r"`(.+?)`", r"<code>\1</code>", escape(described))


def _resolved(schema: Json, document: Json) -> Json:
    if "$ref" not in schema:
        return schema
    found: Json = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found


def _kind(field: Json) -> str:
    if "anyOf" in field:
        return " or ".join(_kind(each) for each in field["anyOf"])
    if "$ref" in field:
        return str(field["$ref"].rpartition("/")[2])
    if "const" in field:
        return f'"{field["const"]}"'
    inner = f" of {_kind(field['items'])}" if "items" in field else ""
    return str(field.get("format", field.get("type", "any"))) + inner


def _rules(field: Json) -> Iterator[str]:
    for name in ("minimum", "maximum", "exclusiveMaximum", "minLength", "maxLength", "pattern"):
        if name in field:
            yield f"{name} {field[name]}"
    if field.get("description"):
        yield field["description"]

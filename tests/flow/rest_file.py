"""A `.rest` document's requests, in its order, placeholders and all."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, quote_plus

import httpx2

_REQUEST = re.compile(r"(GET|POST|PUT|DELETE) (\S.*)")
_HEADER = re.compile(r"([A-Za-z-]+): (.*)")


class Request(NamedTuple):
    title: str
    method: str
    target: str
    headers: dict[str, str]
    body: str

    def filled(self, values: Mapping[str, str]) -> "Request":
        """With what the document leaves open; the longest placeholder first."""
        names = sorted(values, key=len, reverse=True)
        pattern = re.compile("|".join(map(re.escape, names)))

        def fill(text: str) -> str:
            return pattern.sub(lambda found: values[found[0]], text)

        headers = {name: fill(value) for name, value in self.headers.items()}
        target, body = fill(self.target), fill(self.body)
        return self._replace(target=target, headers=headers, body=body)

    def sent(self, client: httpx2.Client, **more: Any) -> httpx2.Response:
        url = encoded(self.target)
        sent: dict[str, Any] = {"headers": self.headers, "content": self.body or None, **more}
        return client.request(self.method, url, **sent)


def requests(text: str) -> tuple[Request, ...]:
    return tuple(_read(re.split(r"^#{3,}", text, flags=re.MULTILINE)))


def encoded(target: str) -> str:
    """What a client makes of a URL as people write it: "@" and Cyrillic letters too."""
    origin, path = re.fullmatch(r"(https?://[^/]+|)(/.*)", target).groups()  # type: ignore[union-attr]
    path, _, query = path.partition("?")
    pairs = [pair.partition("=") for pair in query.split("&") if pair]
    asked = "&".join(f"{quote(name)}={quote_plus(value)}" for name, _, value in pairs)
    return f"{origin}{quote(path)}" + (f"?{asked}" if asked else "")


def _read(sections: list[str]) -> Iterator[Request]:
    for section in sections:
        title, *lines = section.splitlines() or [""]
        lines = [line for line in lines if not line.startswith("# ")]
        found = next((n for n, line in enumerate(lines) if _REQUEST.fullmatch(line)), None)
        if found is None:
            continue
        method, target = _REQUEST.fullmatch(lines[found]).groups()  # type: ignore[union-attr]
        headers: dict[str, str] = {}
        rest = lines[found + 1 :]
        while rest and (header := _HEADER.fullmatch(rest[0])):
            headers[header[1]] = header[2]
            rest = rest[1:]
        yield Request(title.strip(), method, target, headers, "\n".join(rest).strip())

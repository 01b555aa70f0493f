"""A form as a `.rest` document prints it -> the bytes that are sent."""

import re
from collections.abc import Iterator

_FILE = re.compile(r"< (\S+)")


def form(body: str, file: bytes) -> bytes:
    """Lines end with CRLF, and an empty one parts a field from its headers (RFC 7578)."""
    return b"".join(_lines(body, file))


def _lines(body: str, file: bytes) -> Iterator[bytes]:
    in_headers = False
    for line in body.splitlines():
        boundary = line.startswith("--")
        if in_headers and not line.startswith("Content-"):
            yield b"\r\n"
            in_headers = False
        in_headers = in_headers or boundary
        yield (file if _FILE.fullmatch(line) else line.encode()) + b"\r\n"

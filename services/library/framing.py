"""A file's bytes -> whether it is one whole PNG, JPEG or WebP, with nothing behind its end.

What follows a picture's end is how one file is a picture to us and a program to somebody else.
Pure; decodes nothing.
"""

import re
from collections.abc import Iterator

PNG_START = b"\x89PNG\r\n\x1a\n"
JPEG_START, JPEG_END = b"\xff\xd8", 0xD9

#: In a JPEG's scan, 0xFF is data before a zero, restarts before D0 … D7, and else a marker.
_MARKER = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])")
_ALONE = {0x01, *range(0xD0, 0xDA)}  #: markers without a length


def is_whole(content: bytes) -> bool:
    if content.startswith(PNG_START):
        return _png_end(content) == len(content)
    if content.startswith(JPEG_START):
        return _jpegs_end(content) == len(content)
    return is_webp(content) and _webp_end(content) in (len(content), len(content) + 1)


def is_webp(content: bytes) -> bool:
    return content[:4] == b"RIFF" and content[8:12] == b"WEBP"


def webp_chunks(content: bytes) -> Iterator[bytes]:
    """Their names, in order."""
    at = 12
    while at + 8 <= len(content):
        yield content[at : at + 4]
        size = int.from_bytes(content[at + 4 : at + 8], "little")
        at += 8 + size + size % 2


def _webp_end(content: bytes) -> int:
    return 8 + int.from_bytes(content[4:8], "little")


def _png_end(content: bytes) -> int | None:
    at = len(PNG_START)
    while at + 12 <= len(content):
        name = content[at + 4 : at + 8]
        at += 12 + int.from_bytes(content[at : at + 4])
        if name == b"IEND":
            return at
    return None


def _jpegs_end(content: bytes) -> int | None:
    """Of the last one: cameras put previews and depth maps behind the first, and zeros."""
    at: int | None = 0
    while at is not None and content.startswith(JPEG_START, at):
        at = _jpeg_end(content, at)
    if at is None:
        return None
    rest = content[at:]
    return len(content) if rest.count(0) == len(rest) else at


def _jpeg_end(content: bytes, start: int) -> int | None:
    at = start + len(JPEG_START)
    while found := _MARKER.search(content, at):
        marker, at = found[1][0], found.end()
        if marker == JPEG_END:
            return at
        if marker not in _ALONE:
            at += int.from_bytes(content[at : at + 2])
    return None

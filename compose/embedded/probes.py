"""A loopback port in -> is someone listening there?"""

import asyncio

from compose.embedded.ports import HOST

CONNECT_SECONDS = 1.0


async def listens(port: int) -> bool:
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(HOST, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


async def http_status(port: int, path: str) -> int | None:
    """The status of a plain GET, or None while nobody answers."""
    try:
        async with asyncio.timeout(CONNECT_SECONDS * 5):
            reader, writer = await asyncio.open_connection(HOST, port)
            request = f"GET {path} HTTP/1.1\r\nHost: {HOST}:{port}\r\nConnection: close\r\n\r\n"
            writer.write(request.encode())
            line = await reader.readline()
            writer.close()
    except (OSError, TimeoutError):
        return None
    words = line.split()
    return int(words[1]) if len(words) > 1 and words[1].isdigit() else None

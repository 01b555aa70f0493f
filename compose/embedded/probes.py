"""A loopback port in -> is someone listening there, and what do they answer?"""

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
    words = (await _get(port, path)).partition("\r\n")[0].split()
    return int(words[1]) if len(words) > 1 and words[1].isdigit() else None


async def metric(port: int, name: str) -> float | None:
    """A gauge without labels, of a process that serves its metrics there."""
    lines = (await _get(port, "/metrics")).splitlines()
    found = [line.split()[1] for line in lines if line.startswith(f"{name} ")]
    return float(found[0]) if found else None


async def _get(port: int, path: str) -> str:
    """The whole answer with its head; empty while nobody answers."""
    try:
        async with asyncio.timeout(CONNECT_SECONDS * 5):
            reader, writer = await asyncio.open_connection(HOST, port)
            request = f"GET {path} HTTP/1.1\r\nHost: {HOST}:{port}\r\nConnection: close\r\n\r\n"
            writer.write(request.encode())
            answer = await reader.read()
            writer.close()
    except (OSError, TimeoutError):
        return ""
    return answer.decode(errors="replace")

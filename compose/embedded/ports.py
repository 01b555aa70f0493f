"""Names and the ports they had in -> a free loopback port for each, the same where it can be.

New ports are drawn below the range that outgoing connections use (32768 and up on Linux), so that
a part which restarts finds its port still free.
"""

import socket
from collections.abc import Iterable, Mapping
from random import SystemRandom

from compose.errors import CommandFailed

HOST = "127.0.0.1"
DRAWN_FROM = range(20_000, 32_000)
TRIES = 1_000


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def settle(names: Iterable[str], kept: Mapping[str, int]) -> dict[str, int]:
    """A port that is taken meanwhile is replaced; what must not move is the caller's to refuse."""
    ports = {name: kept[name] for name in names if name in kept and is_free(kept[name])}
    for name in names:
        if name not in ports:
            ports[name] = draw(avoid={*ports.values(), *kept.values()})
    return ports


def draw(avoid: set[int]) -> int:
    for port in SystemRandom().sample(DRAWN_FROM, TRIES):
        if port not in avoid and is_free(port):
            return port
    raise CommandFailed("no free port was found", "end some of the programs that listen")

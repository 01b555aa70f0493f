"""Orders on stdin, one JSON a line; what came of each on stdout: `python -m benchmarks.load`.

A process of its own, so that its CPU time is nobody else's.
"""

import asyncio
import sys
import time
from contextlib import AsyncExitStack

import uvloop

from benchmarks.figures import quantile
from benchmarks.http import Connection, post
from schemas.common import Value


class Order(Value):
    port: int
    path: str
    key: str
    body: str
    connections: int
    seconds: float


class Load(Value):
    requests: int
    refused: int  #: answers other than 202
    seconds: float
    p50_ms: float
    p99_ms: float
    loader_cpu_seconds: float


async def put_to_work(order: Order) -> Load:
    """Every connection asks again as soon as it is answered, for `order.seconds`."""
    request = post(order.path, order.key, order.body.encode())
    seconds: list[float] = []
    refused = 0

    async def ask(connection: Connection) -> None:
        nonlocal refused
        while (asked := time.perf_counter()) < deadline:
            answer = await connection.ask(request)
            seconds.append(time.perf_counter() - asked)
            refused += answer.status != 202

    async with AsyncExitStack() as stack:
        opened = [
            await stack.enter_async_context(Connection.open(order.port))
            for _ in range(order.connections)
        ]
        began, cpu = time.perf_counter(), time.process_time()
        deadline = began + order.seconds
        await asyncio.gather(*map(ask, opened))
    return Load(
        requests=len(seconds),
        refused=refused,
        seconds=time.perf_counter() - began,
        p50_ms=quantile(seconds, 0.5) * 1000,
        p99_ms=quantile(seconds, 0.99) * 1000,
        loader_cpu_seconds=time.process_time() - cpu,
    )


def main() -> None:
    for line in sys.stdin:
        load = uvloop.run(put_to_work(Order.model_validate_json(line)))
        print(load.model_dump_json(), flush=True)


if __name__ == "__main__":
    main()

"""Accepts a second: our API process against raw ASGI with the same durable writes."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Final

from benchmarks.children import Child, running
from benchmarks.figures import Pair, Row, Side, rate_row
from benchmarks.load import Load, Order
from benchmarks.sandbox import Sandbox
from compose.embedded.apps import Api
from compose.embedded.parts import Command
from compose.embedded.ports import draw
from compose.errors import CommandFailed

CONNECTIONS: Final = 32
PAIRS: Final = 5
WARM_UP: Final = 1.0  #: seconds a side
AT_LEAST: Final = 0.75
PATH: Final = "/api/v1/images/generate-async"
BODY: Final = (
    '{"prompt": "a red circle on a blue background, seen from above in the morning", '
    '"negative_prompt": "blurred", "quality": "draft", "width": 256, "height": 256, '
    '"blog_id": "bench", "blog_job_id": "1"}'
)


async def measure(box: Sandbox, seconds: float, tick: Callable[[float], None]) -> Row:
    """Both servers stay up; the load goes to one, then to the other, `PAIRS` times."""
    ours_port, floor_port = draw(avoid=set()), draw(avoid=set())
    each = max(0.5, seconds / (2 * PAIRS))
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(running(api_command(box, ours_port)))
        loader = await stack.enter_async_context(running(box.module("benchmarks.load")))
        await api.listening(ours_port, "/readyz")
        await _load(loader, box, ours_port, WARM_UP)
        floor = await stack.enter_async_context(running(floor_command(box, floor_port)))
        await floor.listening(floor_port)
        await _load(loader, box, floor_port, WARM_UP)
        pairs = []
        for number in range(PAIRS):
            ours = await _side(loader, box, ours_port, api, each)
            tick((number + 0.5) / PAIRS)
            pairs.append(Pair(ours=ours, floor=await _side(loader, box, floor_port, floor, each)))
            tick((number + 1) / PAIRS)
    return rate_row("accepts", "1/s", pairs, AT_LEAST)


def api_command(box: Sandbox, port: int) -> Command:
    return box.own(Api("bench", box.settings, port).command)


def floor_command(box: Sandbox, port: int) -> Command:
    """Ours, with another application."""
    ours = api_command(box, port)
    swapped = tuple(
        "benchmarks.accept_floor:create_app" if word == "api.app:create_app" else word
        for word in ours.arguments
    )
    return ours.model_copy(update={"arguments": swapped})


async def _side(loader: Child, box: Sandbox, port: int, server: Child, seconds: float) -> Side:
    before = server.cpu_seconds
    load = await _load(loader, box, port, seconds)
    after = server.cpu_seconds
    spent = None if before is None or after is None else after - before
    return Side(
        value=load.requests / load.seconds,
        p50_ms=load.p50_ms,
        p99_ms=load.p99_ms,
        cpu_ms_per_item=None if spent is None else spent * 1000 / load.requests,
    )


async def _load(loader: Child, box: Sandbox, port: int, seconds: float) -> Load:
    order = Order(
        port=port, path=PATH, key=box.key, body=BODY, connections=CONNECTIONS, seconds=seconds
    )
    await loader.tell(order.model_dump_json())
    load = Load.model_validate_json(await loader.hear())
    if load.refused:
        raise CommandFailed(f"{load.refused} of {load.requests} requests were refused")
    return load

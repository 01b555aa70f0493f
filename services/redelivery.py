"""Outages are waited out, whatever breaks is logged: the only place with `except Exception`."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from time import monotonic
from typing import Final, TypeVar

import structlog
from pymongo.errors import AutoReconnect

from services.broker import BROKER_OUTAGES
from services.errors import Unavailable
from services.mongo import OUTAGES

log = structlog.get_logger()
T = TypeVar("T")

WAITED_OUT: Final = (*OUTAGES, AutoReconnect, *BROKER_OUTAGES, Unavailable)
FIRST_PAUSE: Final = 0.1  #: seconds; doubles
LONGEST_PAUSE: Final = 5.0
LASTED: Final = 60.0  #: seconds after which what breaks is a new break


async def waited_out(
    work: Callable[[], Awaitable[T]], what: str, patience: timedelta | None = None
) -> T:
    """Do `work` until it is done; only an outage is a reason to do it again.

    With `patience` the outage is raised when it has lasted that long.
    """
    pause, began = FIRST_PAUSE, monotonic()
    while True:
        try:
            return await work()
        except WAITED_OUT as error:
            if patience is not None and monotonic() - began > patience.total_seconds():
                raise
            log.warning("waiting_for", what=what, error=type(error).__name__, pause=pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)


async def paced(work: Callable[[], Awaitable[None]], what: str) -> None:
    """Do `work`; what breaks is logged, and raised so late that redelivery is no hot loop."""
    try:
        await work()
    except Exception:
        log.exception("failed", what=what)
        await asyncio.sleep(LONGEST_PAUSE)
        raise


async def kept_up(work: Callable[[], Awaitable[None]], what: str, every: timedelta) -> None:
    """Do `work` again and again; whatever it raises is logged and does not end it."""
    pause = every.total_seconds()
    while True:
        began = monotonic()
        try:
            await work()
            pause = every.total_seconds()
        except WAITED_OUT as error:
            if monotonic() - began > LASTED:
                pause = every.total_seconds()
            log.warning("waiting_for", what=what, error=type(error).__name__, pause=pause)
            pause = min(max(pause, FIRST_PAUSE) * 2, LONGEST_PAUSE)
        except Exception:
            log.exception("failed", what=what)
            pause = LONGEST_PAUSE
        await asyncio.sleep(pause)

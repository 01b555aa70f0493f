"""A heartbeat in; without one for too long the process ends, and its supervisor starts another."""

import os
import threading
import time
from datetime import timedelta

import structlog

log = structlog.get_logger()

EXIT_CODE = 70  #: EX_SOFTWARE (sysexits.h)


class Watchdog:
    """A thread, so that a blocked event loop can't silence it too."""

    def __init__(self, patience: timedelta) -> None:
        self._patience = patience.total_seconds()
        self._heard_at = time.monotonic()

    def heard(self) -> None:
        self._heard_at = time.monotonic()

    def start(self) -> None:
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def _watch(self) -> None:
        while time.monotonic() - self._heard_at < self._patience:
            time.sleep(1)
        log.critical("stuck", seconds=self._patience)
        os._exit(EXIT_CODE)

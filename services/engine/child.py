"""The engine's own process: requests on stdin -> pictures on stdout. Run by `process.py` only.

It lives and dies with its parent: end of stdin ends it at once, in the middle of a step too.
"""

import ctypes
import os
import signal
import sys
import warnings
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import BinaryIO

import structlog

from schemas.jobs import Stage
from services.engine.catalogue import Catalogue
from services.engine.messages import (
    LENGTH,
    Generate,
    Progressed,
    Ready,
    Refused,
    RequestFrame,
    Stop,
    finished,
    pack,
)
from services.errors import DarkroomError
from services.settings import EngineSettings

PR_SET_PDEATHSIG = 1

Requests = SimpleQueue[tuple[Generate, tuple[bytes, ...]]]

log = structlog.get_logger()


class Stops:
    """Requests up to this number are to stop; written by the reading thread only."""

    number = 0

    def asked(self, number: int) -> bool:
        return number <= self.number


def main() -> None:
    requests, replies = _take_pipes()
    _follow_parent()
    warnings.simplefilter("ignore")
    settings = EngineSettings.model_validate_json(sys.argv[1])
    inbox, stops = Requests(), Stops()
    Thread(target=_read, args=(requests, inbox, stops), daemon=True).start()
    _work(settings, inbox, stops, replies)


def _take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """The pipes move to numbers of their own: a library's print can't break a frame."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    return requests, replies


def _follow_parent() -> None:
    for ignored in (signal.SIGINT, signal.SIGTERM):  # the parent decides, also when it drains
        signal.signal(ignored, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _read(requests: BinaryIO, inbox: Requests, stops: Stops) -> None:
    try:
        while length := requests.read(LENGTH.size):
            frame = RequestFrame.model_validate_json(requests.read(LENGTH.unpack(length)[0]))
            blobs = tuple(requests.read(size) for size in frame.blobs)
            match frame.message:
                case Generate():
                    inbox.put((frame.message, blobs))
                case Stop(number=number):
                    stops.number = max(stops.number, number)
    finally:  # the parent closed its end, or was cut off in the middle of a frame
        os._exit(0)


def _work(settings: EngineSettings, inbox: Requests, stops: Stops, replies: BinaryIO) -> None:
    from services.engine.denoising import Controls
    from services.engine.kernels import fix_kernels, pick_device
    from services.engine.loader import Loader
    from services.engine.sampler import Sampler

    def send(frame: bytes) -> None:
        replies.write(frame)
        replies.flush()

    def report(number: int, stage: Stage, step: int, steps: int) -> None:
        send(pack(Progressed(number=number, stage=stage, step=step, steps=steps)))

    fix_kernels(settings.threads)
    loader = Loader(Catalogue.load(settings.models), pick_device(settings.device))
    try:
        loader.load(loader.catalogue.default)
    except DarkroomError as error:  # each request for it will be told so
        log.error("default_model_not_loaded", code=error.code, message=error.message)
    send(pack(Ready()))
    sampler = Sampler(loader)
    while True:
        request, references = inbox.get()
        number = request.number
        controls = Controls(partial(report, number), partial(stops.asked, number))
        try:
            send(finished(number, sampler.generate(request.spec, references, controls)))
        except DarkroomError as error:
            send(pack(Refused(number=number, code=error.code, message=error.message)))


if __name__ == "__main__":
    main()

"""A picture -> whether the same comes out when it is made again."""

import asyncio
from contextlib import suppress
from typing import Final
from uuid import UUID

from starlette.responses import Response
from starlette.routing import Route

from api.answers import answered_once
from api.edge import extend
from api.requests import LONGEST_WAIT
from api.state import AppRequest
from api.studio.access import authorised
from api.studio.replies import replied
from schemas.verification import Verification
from schemas.wire.studio_verification import shown
from services.errors import Unavailable
from services.mongo import OUTAGES

LOOK_EVERY: Final = 0.1  #: seconds
MARGIN: Final = 5.0  #: seconds for the last look and the answer


async def verify(request: AppRequest) -> Response:
    """Waits for the worker; whoever was sent away may ask again and joins the same run."""
    caller = await authorised(request)
    image_id: UUID = request.path_params["image_id"]
    image = await request.state["library"].images.get(caller.project, image_id)

    async def answer(_: UUID) -> Response:
        run = await request.state["verifications"].begin(image)
        return replied(shown(await _known(request, run)))

    return await answered_once(request, caller, b"", answer)


routes = [Route("/api/v1/images/{image_id:uuid}/verify", verify, methods=["POST"])]


async def _known(request: AppRequest, run: UUID) -> Verification:
    extend(request, LONGEST_WAIT + MARGIN)
    end = asyncio.get_running_loop().time() + LONGEST_WAIT
    while asyncio.get_running_loop().time() < end:
        with suppress(*OUTAGES):
            if found := await request.state["verifications"].result(run):
                return found
        await asyncio.sleep(LOOK_EVERY)
    raise Unavailable("The picture is still being made again; ask again")

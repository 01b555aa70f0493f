"""A wish -> its pictures in one answer, for clients that know no polling."""

import asyncio
from base64 import b64encode
from collections.abc import Sequence
from functools import partial
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from api import limits, problems
from api.replies import ModelResponse
from api.requests import LONGEST_WAIT, origin, preferred_wait
from api.state import AppRequest
from api.waiting import until_ended
from schemas.images import Picture
from schemas.jobs import Idempotency, Job
from schemas.wire import openai as wire
from schemas.wire.blog import POLL_PATH
from schemas.wire.shared import error_message, picture_url
from services.accounts import Caller
from services.admission import Admitted, Wish
from services.conversion import converted
from services.errors import NotMade, NotReady, Unavailable

#: Their client repeats what a server failed at; without an Idempotency-Key that is a new job.
NOT_AGAIN: Final = {"x-should-retry": "false"}


async def submitted(
    request: AppRequest, caller: Caller, wish: Wish, idempotency: Idempotency | None
) -> Admitted:
    return await limits.submit(request, caller, (wish,), idempotency)


async def answered(request: AppRequest, admitted: Admitted, body: wire.ImagesBody) -> Response:
    """Waits at most 60 s; what takes longer goes on, and the answer says where it is polled."""
    seconds = preferred_wait(request) or LONGEST_WAIT
    (job,) = await until_ended(request, admitted.jobs, seconds)
    headers = {"Location": f"{POLL_PATH}{job.id}"}
    if not job.status.terminal:
        message = f"Not ready within {seconds:g} s; it goes on, see {headers['Location']}"
        return _unmade(request, NotReady(message), headers)
    if message := error_message(job.current) or "":
        return _unmade(request, NotMade(message), headers)
    try:
        reply = await _pictures(request, job, body)
    except Unavailable as error:
        return _unmade(request, error, headers)
    headers |= {"Idempotent-Replayed": "true"} if admitted.replayed else {}
    return ModelResponse(reply, 200, headers)


def _unmade(request: AppRequest, error: Unavailable, headers: dict[str, str]) -> Response:
    answer = problems.answer(Request(request.scope), error)
    answer.headers.update(headers)
    if "idempotency-key" not in request.headers:
        answer.headers.update(NOT_AGAIN)
    return answer


async def _pictures(request: AppRequest, job: Job, body: wire.ImagesBody) -> wire.ImagesReply:
    assert job.output is not None, "it has succeeded"
    kind = body.output_format or wire.OutputFormat.PNG
    shown: Sequence[wire.ImageData]
    if body.response_format is wire.ResponseFormat.B64_JSON:
        encoding = partial(_encoded, request, kind)
        shown = await asyncio.gather(*map(encoding, job.output.pictures))
    else:
        shown = [
            wire.ImageData(url=_url(request, kind, picture), seed=picture.seed)
            for picture in job.output.pictures
        ]
    return wire.replied(job, shown, kind)


async def _encoded(
    request: AppRequest, kind: wire.OutputFormat, picture: Picture
) -> wire.ImageData:
    content = await request.state["object_store"].get(picture.relative_path)
    made = await asyncio.to_thread(converted, content, kind)
    return wire.ImageData(b64_json=b64encode(made).decode(), seed=picture.seed)


def _url(request: AppRequest, kind: wire.OutputFormat, picture: Picture) -> str:
    if picture.mime_type == f"image/{kind}":
        return picture_url(picture, origin(request))
    return f"{origin(request)}{wire.file_path(picture.image_id, kind)}"

"""Live pictures: a URL stands for a picture that is made once; signed ones need no key."""

from collections.abc import Mapping
from typing import NamedTuple
from uuid import UUID

from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from api.answers import answered_once
from api.requests import LONGEST_WAIT, from_caller, origin, preferred_wait, read_body, traceparent
from api.state import AppRequest
from api.streaming import send_object
from api.studio.access import authorised
from api.studio.replies import CamelResponse, replied
from api.waiting import until_ended
from schemas.common import now
from schemas.images import Picture
from schemas.jobs import GenerationSpec, Job, Lane
from schemas.live import LiveUrl
from schemas.wire import studio_live as wire
from schemas.wire.shared import error_message
from schemas.wire.studio import Page, PageQuery
from services import metrics
from services.engine.catalogue import Catalogue
from services.errors import NotFound, NotMade, NotReady, PromptRequired, Unavailable
from services.live.cache import FIRST_PAUSE, Wanted
from services.live.keys import settled_but_for_seed
from services.live.urls import chosen, new_url

#: Of a picture that a key asks for: its project is not in the URL.
BY_KEY: Mapping[str, str] = {"Vary": "X-API-Key, Authorization"}


class Served(NamedTuple):
    picture: Picture
    headers: dict[str, str]


class Live:
    """An ASGI application, as `api.files.Pictures` is."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = AppRequest(scope, receive)
        wanted = await _wanted(request)
        served = await _kept(request, wanted) or await _made(request, wanted)
        metrics.LIVE.labels(served.headers["X-Cache-Status"].lower()).inc()
        headers = served.headers | {
            "X-Image-Id": str(served.picture.image_id),
            "Cache-Control": f"public, max-age={_seconds(wanted.url)}",
        }
        headers |= BY_KEY if wanted.url is None else {}
        try:
            await send_object(request, served.picture.relative_path, headers, send)
        except NotFound:  # purged after it was found
            raise Unavailable("The picture has just gone; ask again") from None


LIVE = Live()


async def create_url(request: AppRequest) -> Response:
    content = await read_body(request)
    caller = await authorised(request)
    with from_caller():
        body = wire.LiveUrlBody.model_validate_json(content or b"{}")
    catalogue = request.state["catalogue"]

    async def make(url_id: UUID) -> Response:
        url = new_url(url_id, caller.project, body, catalogue)
        made = await request.state["live_urls"].create(url)
        reply = wire.NewLiveUrl(id=made.id, url=_address(request, made), expires_at=made.expires_at)
        return replied(reply, 201)

    return await answered_once(request, caller, content, make)


async def ls_urls(request: AppRequest) -> Response:
    """For keys with every right: whoever sees a URL may use it."""
    caller = await authorised(request)
    with from_caller():
        query = PageQuery.model_validate(dict(request.query_params))
    urls = request.state["live_urls"]
    page = await urls.ls(caller.project, query.limit, query.offset)
    shown = tuple(wire.LiveUrlReply.of(url, _address(request, url)) for url in page.urls)
    return CamelResponse(Page.of(shown, page.total, query))


async def revoke_url(request: AppRequest) -> Response:
    """The URL stops before this answers, on every replica."""
    caller = await authorised(request)
    url = await request.state["live_urls"].revoke(caller.project, request.path_params["url_id"])
    return replied(wire.LiveUrlReply.of(url, _address(request, url)))


routes = [
    Route(wire.PATH, LIVE, methods=["GET"], name="live"),
    Route(f"{wire.PATH}/urls", create_url, methods=["POST"]),
    Route(f"{wire.PATH}/urls", ls_urls),
    Route(f"{wire.PATH}/urls/{{url_id:uuid}}", revoke_url, methods=["DELETE"]),
]


async def _wanted(request: AppRequest) -> Wanted:
    """By a signed URL, which needs no key, or by a key's own request."""
    given = request.query_params
    if (token := given.get("token")) is None:
        caller = await authorised(request, "live")
        return _asked(request, dict(given), caller.project)
    url = await request.state["live_urls"].named(token)
    own = [each for each in given.multi_items() if each != ("token", token)]
    return _asked(request, chosen(url, own), url.project, url)


def _asked(
    request: AppRequest, parameters: Mapping[str, str], project: str, url: LiveUrl | None = None
) -> Wanted:
    with from_caller():
        query = wire.LiveQuery.model_validate(parameters)
        spec = spec_of(query, request.state["catalogue"])
    return Wanted(
        project=project,
        spec=spec,
        aspect_ratio=query.aspect_ratio,
        url=url,
        traceparent=traceparent(request),
        estimated_seconds=request.state["estimates"].seconds(project, spec, Lane.INTERACTIVE),
    )


def spec_of(query: wire.LiveQuery, catalogue: Catalogue) -> GenerationSpec:
    """Raise `InvalidRequest` or `InvalidAspectRatio`."""
    if query.prompt is None:
        raise PromptRequired
    size = catalogue.find(query.model).size_for(query.aspect_ratio)
    spec = GenerationSpec(
        prompt=query.prompt,
        model=query.model,
        tier=query.quality,
        width=size.width,
        height=size.height,
        seed=query.seed,
        embed_parameters=False,  # the manifest says enough
    )
    return settled_but_for_seed(spec, catalogue)


async def _kept(request: AppRequest, wanted: Wanted) -> Served | None:
    kept = await request.state["live"].kept(wanted)
    if kept is None:
        return None
    told = {"X-Cache-Status": "HIT", "X-Cache-Hit-Count": str(kept.hits)}
    return Served(kept.image.picture, told)


async def _made(request: AppRequest, wanted: Wanted) -> Served:
    """Whoever has to wait has missed, though another's request may have begun the generation."""
    asked_at = now()
    job = await request.state["live"].job(wanted)
    if job.created_at >= asked_at:  # begun for this request, or for one beside it
        request.state["estimates"].admitted((job,))
    (job,) = await until_ended(request, (job,), preferred_wait(request) or LONGEST_WAIT)
    if not job.status.terminal:
        raise NotReady
    told = {"X-Cache-Status": "MISS", "X-Generation-Id": str(job.id)}
    return Served(_picture(job), told)


def _picture(job: Job) -> Picture:
    if message := error_message(job.current):
        raise NotMade(message, FIRST_PAUSE.total_seconds())
    assert job.output is not None
    return job.output.pictures[0]


def _seconds(url: LiveUrl | None) -> int:
    """That a picture may be kept: never longer than its URL lasts."""
    return wire.YEAR if url is None else min(wire.YEAR, int(url.seconds_left(now())))


def _address(request: AppRequest, url: LiveUrl) -> str:
    return f"{origin(request)}{wire.PATH}?token={request.state['live_urls'].token(url)}"

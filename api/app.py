"""HTTP in, five dialects over one core out: this process's composition root."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute

from api import blog, files, health, metrics, openai, presets, problems, recipes, studio
from api.documents import pages
from api.edge import Edge
from api.query_keys import QueryKeys
from api.readiness import Readiness
from api.state import State
from services import telemetry
from services.accounts import Keys
from services.admission import Admission
from services.answers import Answers
from services.broker import Publisher
from services.engine.catalogue import Catalogue
from services.errors import DarkroomError
from services.estimates import REFRESHED_EVERY, Estimates
from services.library.feed import Feed
from services.library.whole import Library
from services.live.cache import LiveCache
from services.live.urls import LiveUrls
from services.metrics import serve as serve_metrics
from services.mongo import open_mongo
from services.object_store import S3ObjectStore
from services.polls import Polls
from services.rate_limits import RateLimits
from services.read_model import ReadModel
from services.recipes.store import Recipes
from services.recipes.upstream import Upstream
from services.redelivery import kept_up
from services.refresh import Refreshes
from services.settings import Settings
from services.signing import Signer
from services.tokens import Tokens
from services.verification import Verifications
from services.waiters import Waiters

Lifespan = Callable[[Starlette], AbstractAsyncContextManager[State]]

#: Tried in this order: the busiest first, and within a dialect literal paths before ids.
ROUTES = (
    *blog.routes,
    *studio.routes,
    *presets.routes,
    *recipes.routes,
    *openai.routes,
    *files.routes,
    *health.routes,
    *metrics.routes,
    *pages.routes,
)
EXPOSED = (
    "ETag",
    "Idempotent-Replayed",
    "Location",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "X-Cache-Hit-Count",
    "X-Cache-Status",
    "X-Generation-Id",
    "X-Image-Id",
)


def live(settings: Settings) -> Lifespan:
    """The real parts; each connects when it is first used."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[State]:
        signer = Signer(settings.master_secret.get_secret_value())
        tokens = Tokens(settings, signer)
        catalogue = Catalogue.load(settings.engine.models)
        async with (
            open_mongo(settings.mongo) as mongo,
            Publisher.open(settings.kafka) as publisher,
            S3ObjectStore.open(settings.s3) as store,
            Waiters.open(settings.kafka) as waiters,
            Upstream.open(settings.image_gen_url, tokens.service) as upstream,
        ):
            estimates = Estimates(mongo, catalogue)
            feed = Feed(mongo)
            admission = Admission(mongo, publisher, signer, catalogue, feed)
            refreshing = asyncio.create_task(
                kept_up(estimates.refresh, "estimates", REFRESHED_EVERY)
            )
            cache = LiveCache(mongo, catalogue, admission.dispatch)
            keys = Keys(mongo, signer, feed)
            pings = {"mongo": mongo.ping, "kafka": publisher.ping, "s3": store.ping}
            yield State(
                settings=settings,
                keys=keys,
                tokens=tokens,
                rate_limits=RateLimits(mongo),
                admission=admission,
                answers=Answers(mongo),
                read_model=ReadModel(mongo),
                polls=Polls(mongo, keys),
                refreshes=Refreshes(mongo, catalogue, admission, estimates),
                recipes=Recipes(mongo),
                upstream=upstream,
                library=Library(mongo, feed, store, admission.cancel),
                verifications=Verifications(mongo, store, admission.dispatch),
                live=cache,
                live_urls=LiveUrls(mongo, signer),
                object_store=store,
                waiters=waiters,
                catalogue=catalogue,
                estimates=estimates,
                readiness=Readiness(pings),
            )
            refreshing.cancel()
            await cache.hits.written()

    return lifespan


def create_app(lifespan: Lifespan | None = None, settings: Settings | None = None) -> Starlette:
    """`uvicorn api.app:create_app --factory`; tests pass a lifespan of fakes."""
    if settings is None:
        settings = Settings()
        telemetry.configure(settings, "api")
        serve_metrics(settings.metrics)
    app = Starlette(
        routes=_routes(settings),
        middleware=[
            Middleware(QueryKeys),
            Middleware(metrics.Measured),
            *([_cors(origins)] if (origins := settings.api.cors_origins) else ()),
            Middleware(Edge, answer_within=settings.api.unavailable_after),
        ],
        exception_handlers=dict.fromkeys((DarkroomError, HTTPException), problems.answer),
        lifespan=lifespan or live(settings),
    )
    app.router.redirect_slashes = False  # it is the dialect's 404
    return app


def _routes(settings: Settings) -> Sequence[BaseRoute]:
    """With another instance for recipes, theirs lead there."""
    if settings.image_gen_url is None:
        return ROUTES
    return [*recipes.forwarded, *(route for route in ROUTES if route not in recipes.routes)]


def _cors(origins: list[str]) -> Middleware:
    return Middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=EXPOSED,
    )

"""What every handler finds in `request.state`: the parts that the composition root opened."""

import asyncio
from typing import NotRequired, TypedDict

from starlette.requests import Request

from api.readiness import Readiness
from services.accounts import Keys
from services.admission import Admission
from services.answers import Answers
from services.engine.catalogue import Catalogue
from services.estimates import Estimates
from services.library.whole import Library
from services.live.cache import LiveCache
from services.live.urls import LiveUrls
from services.object_store import S3ObjectStore
from services.polls import Polls
from services.rate_limits import Budget, RateLimits
from services.read_model import ReadModel
from services.recipes.store import Recipes
from services.recipes.upstream import Upstream
from services.refresh import Refreshes
from services.settings import Settings
from services.tokens import Tokens
from services.verification import Verifications
from services.waiters import Waiters


class State(TypedDict):
    settings: Settings
    keys: Keys
    tokens: Tokens
    rate_limits: RateLimits
    admission: Admission
    answers: Answers
    read_model: ReadModel
    polls: Polls
    recipes: Recipes
    upstream: Upstream | None  #: where recipes' pictures are made for this instance
    library: Library
    refreshes: Refreshes
    verifications: Verifications
    live: LiveCache
    live_urls: LiveUrls
    object_store: S3ObjectStore
    waiters: Waiters
    catalogue: Catalogue
    estimates: Estimates
    readiness: Readiness
    deadline: NotRequired[asyncio.Timeout]  #: of this request; set by `api.edge.Edge`
    query_key: NotRequired[str]  #: `?api_key=`; set by `api.query_keys`
    budget: NotRequired[Budget]  #: of its key, once it is counted; set by `api.limits`


AppRequest = Request[State]

"""URLs that may ask for live pictures without a key: made, counted against their cap, revoked."""

from collections.abc import Mapping
from datetime import timedelta
from itertools import product
from uuid import UUID

from pymongo.errors import DuplicateKeyError

from schemas.common import Value, now
from schemas.live import LiveUrl
from schemas.wire.studio_live import LiveQuery, LiveUrlBody
from services.engine.catalogue import Catalogue
from services.errors import InvalidRequest, LiveUrlNotFound, LiveUrlRefused, PromptRequired
from services.live.tokens import read_token, token_of
from services.mongo import Document, Mongo, Session
from services.signing import Signer


class LiveUrlPage(Value):
    urls: tuple[LiveUrl, ...]
    total: int


class LiveUrls:
    def __init__(self, mongo: Mongo, signer: Signer) -> None:
        self._urls = mongo.live_urls
        self._signer = signer

    def token(self, url: LiveUrl) -> str:
        return token_of(url, self._signer)

    async def create(self, url: LiveUrl) -> LiveUrl:
        """`url`, or what is there under its id: whoever makes it again had not heard of it."""
        try:
            await self._urls.insert_one(url.model_dump(by_alias=True))
        except DuplicateKeyError:
            return LiveUrl.model_validate(await self._urls.find_one({"_id": url.id}))
        return url

    async def ls(self, project: str, limit: int, offset: int) -> LiveUrlPage:
        """Newest first."""
        chosen: Document = {"project": project}
        newest = [("created_at", -1), ("_id", -1)]
        found = self._urls.find(chosen).sort(newest).skip(offset).limit(limit)
        urls = tuple([LiveUrl.model_validate(document) async for document in found])
        return LiveUrlPage(urls=urls, total=await self._urls.count_documents(chosen))

    async def revoke(self, project: str, url_id: UUID) -> LiveUrl:
        """Stop it at once and for good; again changes nothing. Raise `LiveUrlNotFound`."""
        chosen = {"_id": url_id, "project": project}
        await self._urls.update_one({**chosen, "revoked_at": None}, {"$set": {"revoked_at": now()}})
        document = await self._urls.find_one(chosen)
        if document is None:
            raise LiveUrlNotFound
        return LiveUrl.model_validate(document)

    async def named(self, token: str) -> LiveUrl:
        """What a token stands for now, looked up at every request; raise `LiveUrlRefused`."""
        url_id = read_token(token, self._signer, now())
        document = await self._urls.find_one({"_id": url_id})
        if document is None:
            raise LiveUrlRefused
        url = LiveUrl.model_validate(document)
        if url.revoked_at is not None:
            raise LiveUrlRefused("The live URL was revoked")
        return url


def new_url(url_id: UUID, project: str, body: LiveUrlBody, catalogue: Catalogue) -> LiveUrl:
    """Raise what each request through it would: a URL that is made can be used."""
    fixed, allowed = body.fixed, body.allowed
    if twice := fixed.keys() & allowed.keys():
        name = min(twice)
        raise InvalidRequest(f"{name} is either fixed or one of params", f"/params/{name}")
    values = {name: (value,) for name, value in fixed.items()} | allowed
    prompts = values.get("prompt", ("",))
    if not all(prompt.strip() for prompt in prompts):
        raise PromptRequired
    usual = LiveQuery()
    models, ratios = values.get("model", (usual.model,)), values.get("aspectRatio", ())
    for model, ratio in product(set(models), set(ratios or (usual.aspect_ratio,))):
        catalogue.find(model).size_for(ratio)
    moment = now()
    return LiveUrl(
        id=url_id,
        project=project,
        fixed=fixed,
        allowed=allowed,
        max_images=body.max_images,
        created_at=moment,
        expires_at=moment + timedelta(seconds=body.expires_in),
    )


def chosen(url: LiveUrl, given: list[tuple[str, str]]) -> Mapping[str, str]:
    """All parameters of a request that gives these itself.

    Raise `LiveUrlRefused` unless it names each that it must once, with an allowed value, and
    nothing else.
    """
    values = dict(given)
    if len(given) != len(values) or values.keys() != url.allowed.keys():
        names = ", ".join(url.allowed) or "no parameters"
        raise LiveUrlRefused(f"The live URL takes {names}, once each")
    for name, value in values.items():
        if value not in url.allowed[name]:
            raise LiveUrlRefused(f"The live URL does not allow this {name}")
    return {**url.fixed, **values}


async def charge(mongo: Mongo, session: Session, url: LiveUrl) -> None:
    """One more distinct picture, unless its cap is reached or it was revoked meanwhile."""
    room = {} if url.max_images is None else {"made": {"$lt": url.max_images}}
    charged = await mongo.live_urls.update_one(
        {"_id": url.id, "revoked_at": None, **room}, {"$inc": {"made": 1}}, session=session
    )
    if not charged.matched_count:
        raise LiveUrlRefused("The live URL may make no more pictures")

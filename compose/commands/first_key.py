"""A home without a key in -> one without a limit, made once and kept in its state."""

from compose.embedded.state import FirstKey, State, save
from services.accounts import Keys
from services.mongo import open_mongo
from services.settings import Settings
from services.signing import Signer


async def ensure_first_key(settings: Settings, state: State) -> FirstKey:
    """`settings` are the running stack's; another call finds the same key."""
    if state.key is not None:
        return state.key
    async with open_mongo(settings.mongo) as mongo:
        keys = Keys(mongo, Signer(settings.master_secret.get_secret_value()))
        created = await keys.create(settings.project, "made by up", limit=None)
    first = FirstKey.model_validate(created.model_dump())
    save(settings.home, state.model_copy(update={"key": first}))
    return first

"""A batch's manifest -> a file beside the pictures, under the hash of its bytes.

So it is stored once however often it is polled, and is another file after a retry.
"""

from hashlib import sha256
from typing import Final

from schemas.common import RelativePath, Value
from services.errors import NotFound
from services.object_store import S3ObjectStore

FOLDER: Final = "recipes"


async def stored(store: S3ObjectStore, manifest: Value) -> RelativePath:
    """Its path; nobody can guess it, since it depends on the ids that it holds."""
    content = manifest.model_dump_json(indent=1).encode()
    digest = sha256(content).hexdigest()
    path = f"{FOLDER}/{digest}.json"
    try:
        await store.head(path)
    except NotFound:
        await store.put(path, content, "application/json", digest)
    return path

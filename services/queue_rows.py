"""A queue row as MongoDB keeps it, and the clock that all who look at one go by."""

from typing import Any

from schemas.queue import QueueRow
from services.mongo import Document


def row_document(row: QueueRow) -> dict[str, Any]:
    document = row.model_dump(by_alias=True)
    document["after"] = list(row.after)
    return document


def from_now(seconds: float) -> Document:
    """A moment of the server's clock, so that workers need not agree on the time."""
    return {"$add": ["$$NOW", int(seconds * 1000)]}

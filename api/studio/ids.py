"""Ids as callers write them in a body: what is none is the id of nothing that there is."""

from uuid import UUID

from services.errors import FlowNotFound, ImageNotFound


def flow_named(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise FlowNotFound from None


def image_named(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise ImageNotFound from None

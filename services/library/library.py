"""All of a library's commands and lists over one MongoDB, for those who need several."""

from typing import NamedTuple, Self

from services.library.deletion import Deletion
from services.library.feed import Feed
from services.library.flows import Flows
from services.library.generations import Generations
from services.library.images import Images
from services.library.marks import ImageMarks
from services.library.purging import Purging
from services.library.removals import Cancel, Removals
from services.mongo import Mongo
from services.object_store import S3ObjectStore


class Library(NamedTuple):
    flows: Flows
    images: Images
    generations: Generations
    marks: ImageMarks
    deletion: Deletion
    purging: Purging

    @classmethod
    def over(cls, mongo: Mongo, feed: Feed, cancel: Cancel, store: S3ObjectStore) -> Self:
        """`feed` is the one of its process: who shares it waits instead of colliding."""
        removals = Removals(mongo, cancel)
        return cls(
            flows=Flows(mongo, feed),
            images=Images(mongo),
            generations=Generations(mongo),
            marks=ImageMarks(mongo, feed),
            deletion=Deletion(mongo, feed, removals),
            purging=Purging(mongo, feed, removals, store),
        )

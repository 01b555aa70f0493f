"""All that can be done with a project's library, over one feed."""

from services.library.deletion import Deletion
from services.library.feed import Feed
from services.library.flows import Flows
from services.library.generations import Generations
from services.library.images import Images
from services.library.leads import Leads
from services.library.marks import ImageMarks
from services.library.presets import Presets
from services.library.purging import Purging
from services.library.related import Relations
from services.library.removals import Cancel, Removals
from services.library.uploads import Uploads
from services.mongo import Mongo
from services.object_store import S3ObjectStore


class Library:
    def __init__(self, mongo: Mongo, feed: Feed, store: S3ObjectStore, cancel: Cancel) -> None:
        removals = Removals(mongo, cancel)
        self.generations = Generations(mongo)
        self.images = Images(mongo)
        self.flows = Flows(mongo, feed)
        self.marks = ImageMarks(mongo, feed)
        self.deletion = Deletion(mongo, feed, removals)
        self.purging = Purging(mongo, feed, removals, store)
        self.uploads = Uploads(mongo, feed, store)
        self.presets = Presets(mongo, feed)
        self.leads = Leads(mongo)
        self.relations = Relations(mongo)

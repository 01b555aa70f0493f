"""The indexes of every collection, each with the question that it answers."""

from datetime import UTC, datetime
from typing import Final

from bson import Binary
from bson.binary import UUID_SUBTYPE
from pymongo import ASCENDING, DESCENDING, IndexModel

#: In a partial index: "has an id". Queries by equality use `$gt` (seen with explain, 6.0.5);
#: they don't use `$type`, and a sparse index would hold every null.
SOME_ID: Final = {"$gt": Binary(bytes(16), UUID_SUBTYPE)}
SOME_TEXT: Final = {"$gt": ""}
SOME_TIME: Final = {"$gt": datetime(1970, 1, 1, tzinfo=UTC)}
NEWEST: Final = (("created_at", DESCENDING), ("_id", DESCENDING))
SHOWN_JOBS: Final = {"deleted_at": None}

JOBS: Final = (
    IndexModel(  # a project's list
        [("project", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)]
    ),
    IndexModel(  # the same by status
        [
            ("project", ASCENDING),
            ("state.status", ASCENDING),
            ("created_at", DESCENDING),
            ("_id", DESCENDING),
        ]
    ),
    IndexModel(
        [("idempotency.scope", ASCENDING), ("idempotency.key", ASCENDING)],
        unique=True,  # kept for 24 h, but a TTL would delete the job: admission lets keys expire
        partialFilterExpression={"idempotency.key": SOME_TEXT},
    ),
    IndexModel(
        [("created_at", ASCENDING), ("_id", ASCENDING)],  # the order in which it sends
        name="unpublished",  # the outbox
        partialFilterExpression={"published": False},
    ),
    IndexModel([("batch_id", ASCENDING)], partialFilterExpression={"batch_id": SOME_ID}),
    IndexModel(
        [("project", ASCENDING), ("blog_id", ASCENDING), ("created_at", DESCENDING)],
        partialFilterExpression={"blog_id": SOME_TEXT},
    ),
    IndexModel(  # a library's list: without those that are deleted
        [("project", ASCENDING), *NEWEST], name="shown", partialFilterExpression=SHOWN_JOBS
    ),
    IndexModel(
        [("project", ASCENDING), ("state.status", ASCENDING), *NEWEST],
        name="shown_by_status",
        partialFilterExpression=SHOWN_JOBS,
    ),
    IndexModel(  # a flow's list, and how many it has
        [("flow_id", ASCENDING), *NEWEST],
        name="in_flow",
        partialFilterExpression={"flow_id": SOME_ID},
    ),
    IndexModel(  # totals
        [("project", ASCENDING), ("state.status", ASCENDING), ("state.ended_at", ASCENDING)],
        name="ended",
        partialFilterExpression={"state.ended_at": SOME_TIME},
    ),
    IndexModel(
        [("project", ASCENDING), ("deleted_at", ASCENDING)],
        name="deleted",
        partialFilterExpression={"deleted_at": SOME_TIME},
    ),
    IndexModel(
        [("flow_id", ASCENDING), ("deleted_at", ASCENDING)],
        name="deleted_in_flow",
        partialFilterExpression={"deleted_at": SOME_TIME},
    ),
    IndexModel(  # a retry of which nothing is folded yet
        [("project", ASCENDING), *NEWEST],
        name="moved_on",
        partialFilterExpression={"moved_on": True},
    ),
)

#: `state: waiting | ready | leased | done`
QUEUE: Final = (
    IndexModel(
        [("state", ASCENDING), ("lane", ASCENDING), ("vft", ASCENDING), ("due", ASCENDING)],
        name="claim",  # and virtual time
    ),
    IndexModel(
        [("lease_until", ASCENDING)],
        name="expired",
        partialFilterExpression={"state": "leased"},
    ),
    IndexModel(
        [("outcome.decided_at", ASCENDING)],
        name="unpublished",  # outcomes whose event the broker has not acknowledged
        partialFilterExpression={"state": "done", "published": False},
    ),
    IndexModel(
        [("ended_at", ASCENDING)],
        name="uploads",  # object keys that are still to be gone through
        partialFilterExpression={"state": "done", "uploads.0": {"$exists": True}},
    ),
    IndexModel(  # longer than the commands that a redelivery could bring back
        [("ended_at", ASCENDING)], name="kept", expireAfterSeconds=35 * 24 * 3600
    ),
    IndexModel([("project", ASCENDING), ("state", ASCENDING)]),  # concurrent leases, depth
    IndexModel([("job", ASCENDING)]),  # cancel
    IndexModel([("after", ASCENDING)], partialFilterExpression={"state": "waiting"}),
)

SHOWN_IMAGES: Final = {"marks.deleted_at": None}
DELETED_IMAGES: Final = {"marks.deleted_at": SOME_TIME}
OF_FLOW: Final = {"flow_id": SOME_ID}

#: A list of both sources merges two scans, so that one index does for either and for both.
IMAGES: Final = (
    IndexModel([("project", ASCENDING), ("source", ASCENDING), *NEWEST], name="listed"),
    IndexModel(
        [("project", ASCENDING), ("source", ASCENDING), *NEWEST],
        name="shown",
        partialFilterExpression=SHOWN_IMAGES,
    ),
    IndexModel(  # totals
        [("project", ASCENDING), ("source", ASCENDING), ("marks.deleted_at", ASCENDING)],
        name="deleted",
        partialFilterExpression=DELETED_IMAGES,
    ),
    IndexModel(
        [("flow_id", ASCENDING), ("source", ASCENDING), *NEWEST],
        name="listed_in_flow",
        partialFilterExpression=OF_FLOW,
    ),
    IndexModel(
        [("flow_id", ASCENDING), ("source", ASCENDING), *NEWEST],
        name="shown_in_flow",
        partialFilterExpression={**OF_FLOW, **SHOWN_IMAGES},
    ),
    IndexModel(
        [("flow_id", ASCENDING), ("source", ASCENDING), ("marks.deleted_at", ASCENDING)],
        name="deleted_in_flow",
        partialFilterExpression=DELETED_IMAGES,
    ),
    IndexModel([("job_id", ASCENDING)], partialFilterExpression={"job_id": SOME_ID}),
    IndexModel(  # the public path; a tombstone has none
        [("picture.relative_path", ASCENDING)],
        unique=True,
        partialFilterExpression={"picture.relative_path": SOME_TEXT},
    ),
)

ALIASES: Final = (
    IndexModel([("project", ASCENDING), ("flow_id", ASCENDING), ("name", ASCENDING)], unique=True),
    IndexModel([("job_id", ASCENDING)]),  # the claims of a job
    IndexModel([("image_id", ASCENDING)]),  # the names of an image
)

LIBRARY_OUTBOX: Final = (
    IndexModel([("project", ASCENDING), ("sequence", ASCENDING)], unique=True),
)
UPLOADS: Final = (IndexModel([("noted_at", ASCENDING)]),)  # keys without a picture of their own yet
DISTURBANCES: Final = (
    IndexModel([("project", ASCENDING), ("at", ASCENDING)]),
    IndexModel([("at", ASCENDING)], name="kept", expireAfterSeconds=24 * 3600),
)
REMOVALS: Final = (IndexModel([("kind", ASCENDING), ("due", ASCENDING)]),)
FLOWS: Final = (IndexModel([("project", ASCENDING), *NEWEST], name="listed"),)
PRESETS: Final = (IndexModel([("project", ASCENDING), ("slug", ASCENDING)], unique=True),)
PRESET_VERSIONS: Final = (  # a number is of one preset, and the next is above all of a slug's
    IndexModel([("slug", ASCENDING), ("version", DESCENDING), ("project", ASCENDING)], unique=True),
)
RECIPES: Final = (
    IndexModel([("project", ASCENDING), ("recipe.recipe_id", ASCENDING)], unique=True),
)
KEYS: Final = (
    IndexModel([("project", ASCENDING), ("created_at", DESCENDING), ("_id", ASCENDING)]),
    IndexModel(
        [("idempotency.scope", ASCENDING), ("idempotency.key", ASCENDING)],
        unique=True,
        partialFilterExpression={"idempotency.key": SOME_TEXT},
    ),
)
LIVE_URLS: Final = (
    IndexModel([("project", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)]),
)
RATE_LIMITS: Final = (IndexModel([("ends_at", ASCENDING)], name="over", expireAfterSeconds=60),)
ANSWERS: Final = (IndexModel([("expires_at", ASCENDING)], name="over", expireAfterSeconds=60),)
DEAD_LETTER_MARKS: Final = (  # longer than the letters themselves
    IndexModel([("marked_at", ASCENDING)], name="kept", expireAfterSeconds=35 * 24 * 3600),
)
DURATIONS: Final = ()
OFFSETS: Final = ()
QUARANTINE: Final = ()
REPLACED: Final = (
    IndexModel([("replaced_at", ASCENDING)], name="kept", expireAfterSeconds=35 * 24 * 3600),
)
TENANTS: Final = ()

COLLECTIONS: Final[dict[str, tuple[IndexModel, ...]]] = {
    "jobs": JOBS,
    "queue": QUEUE,
    "images": IMAGES,
    "aliases": ALIASES,
    "flows": FLOWS,
    "presets": PRESETS,
    "preset_versions": PRESET_VERSIONS,
    "recipes": RECIPES,
    "feeds": (),
    "library_outbox": LIBRARY_OUTBOX,
    "removals": REMOVALS,
    "purged_jobs": (),  # ids alone, for good: a command that comes again finds its job gone
    "uploads": UPLOADS,
    "disturbances": DISTURBANCES,
    "totals": (),
    "keys": KEYS,
    "live": (),  # by its cache key alone
    "live_urls": LIVE_URLS,
    "rate_limits": RATE_LIMITS,
    "answers": ANSWERS,
    "dead_letter_marks": DEAD_LETTER_MARKS,
    "durations": DURATIONS,
    "offsets": OFFSETS,
    "quarantine": QUARANTINE,
    "replaced": REPLACED,
    "tenants": TENANTS,
}

#: Of earlier versions: they would cost every write and serve nobody.
OBSOLETE: Final[dict[str, tuple[str, ...]]] = {
    "jobs": ("flow_id_1_created_at_1",),
    "images": ("project_1_created_at_-1",),
    "flows": ("project_1_created_at_-1",),
    "queue": ("lane_1_state_1_vft_1",),
}

"""The indexes of every collection, each with the question that it answers."""

from typing import Final

from bson import Binary
from bson.binary import UUID_SUBTYPE
from pymongo import ASCENDING, DESCENDING, IndexModel

#: In a partial index: "has an id". Queries by equality use `$gt` (seen with explain, 6.0.5);
#: they don't use `$type`, and a sparse index would hold every null.
SOME_ID: Final = {"$gt": Binary(bytes(16), UUID_SUBTYPE)}
SOME_TEXT: Final = {"$gt": ""}

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
    IndexModel(
        [("flow_id", ASCENDING), ("created_at", ASCENDING)],
        partialFilterExpression={"flow_id": SOME_ID},
    ),
)

#: `state: waiting | ready | leased | done`
QUEUE: Final = (
    IndexModel(
        [("state", ASCENDING), ("lane", ASCENDING), ("vft", ASCENDING), ("due", ASCENDING)],
        name="claim",
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
    IndexModel([("lane", ASCENDING), ("state", ASCENDING), ("vft", ASCENDING)]),  # virtual time
    IndexModel(  # longer than the commands that a redelivery could bring back
        [("ended_at", ASCENDING)], name="kept", expireAfterSeconds=35 * 24 * 3600
    ),
    IndexModel([("project", ASCENDING), ("state", ASCENDING)]),  # concurrent leases, depth
    IndexModel([("job", ASCENDING)]),  # cancel
    IndexModel([("after", ASCENDING)], partialFilterExpression={"state": "waiting"}),
)

IMAGES: Final = (
    IndexModel([("project", ASCENDING), ("created_at", DESCENDING)]),
    IndexModel([("job_id", ASCENDING)], partialFilterExpression={"job_id": SOME_ID}),
    IndexModel([("picture.relative_path", ASCENDING)], unique=True),  # the public path
)

ALIASES: Final = (
    IndexModel([("project", ASCENDING), ("flow_id", ASCENDING), ("name", ASCENDING)], unique=True),
    IndexModel([("job_id", ASCENDING)]),  # the claims of a job
)

LIBRARY_OUTBOX: Final = (
    IndexModel([("project", ASCENDING), ("sequence", ASCENDING)], unique=True),
)
FLOWS: Final = (IndexModel([("project", ASCENDING), ("created_at", DESCENDING)]),)
KEYS: Final = (
    IndexModel([("project", ASCENDING), ("created_at", DESCENDING), ("_id", ASCENDING)]),
    IndexModel(
        [("idempotency.scope", ASCENDING), ("idempotency.key", ASCENDING)],
        unique=True,
        partialFilterExpression={"idempotency.key": SOME_TEXT},
    ),
)
RATE_LIMITS: Final = (IndexModel([("ends_at", ASCENDING)], name="over", expireAfterSeconds=60),)
ANSWERS: Final = (IndexModel([("expires_at", ASCENDING)], name="over", expireAfterSeconds=60),)
DEAD_LETTER_MARKS: Final = (  # longer than the letters themselves
    IndexModel([("marked_at", ASCENDING)], name="kept", expireAfterSeconds=35 * 24 * 3600),
)
DURATIONS: Final = ()
OFFSETS: Final = ()
QUARANTINE: Final = ()
TENANTS: Final = ()

COLLECTIONS: Final[dict[str, tuple[IndexModel, ...]]] = {
    "jobs": JOBS,
    "queue": QUEUE,
    "images": IMAGES,
    "aliases": ALIASES,
    "flows": FLOWS,
    "feeds": (),
    "library_outbox": LIBRARY_OUTBOX,
    "purges": (),
    "totals": (),
    "keys": KEYS,
    "rate_limits": RATE_LIMITS,
    "answers": ANSWERS,
    "dead_letter_marks": DEAD_LETTER_MARKS,
    "durations": DURATIONS,
    "offsets": OFFSETS,
    "quarantine": QUARANTINE,
    "tenants": TENANTS,
}

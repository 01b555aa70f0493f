"""The indexes of every collection, each with the question that it answers."""

from typing import Final

from pymongo import ASCENDING, DESCENDING, IndexModel

JOBS: Final = (
    IndexModel([("project", ASCENDING), ("created_at", DESCENDING)]),  # a project's list
    IndexModel(
        [("project", ASCENDING), ("state.status", ASCENDING), ("created_at", DESCENDING)]
    ),  # the same by status
    IndexModel(
        [("idempotency.scope", ASCENDING), ("idempotency.key", ASCENDING)],
        unique=True,  # kept for 24 h, but a TTL would delete the job: admission lets keys expire
        partialFilterExpression={"idempotency.key": {"$type": "string"}},
    ),
    IndexModel(
        [("created_at", ASCENDING)],
        name="unpublished",  # the outbox
        partialFilterExpression={"published": False},
    ),
    IndexModel(
        [("batch_id", ASCENDING)], partialFilterExpression={"batch_id": {"$type": "binData"}}
    ),
    IndexModel(
        [("project", ASCENDING), ("blog_id", ASCENDING), ("created_at", DESCENDING)],
        partialFilterExpression={"blog_id": {"$type": "string"}},
    ),
    IndexModel([("after", ASCENDING)], partialFilterExpression={"after.0": {"$exists": True}}),
    IndexModel(
        [("flow_id", ASCENDING), ("created_at", ASCENDING)],
        partialFilterExpression={"flow_id": {"$type": "binData"}},
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
        [("_id", ASCENDING), ("published", ASCENDING)],
        name="unpublished",  # outcomes whose event the broker has not acknowledged
        partialFilterExpression={"state": "done", "published": False},
    ),
    IndexModel([("project", ASCENDING), ("state", ASCENDING)]),  # concurrent leases, depth
    IndexModel([("job", ASCENDING)]),  # cancel
    IndexModel([("after", ASCENDING)], partialFilterExpression={"state": "waiting"}),
)

IMAGES: Final = (
    IndexModel([("project", ASCENDING), ("created_at", DESCENDING)]),
    IndexModel([("job_id", ASCENDING)], partialFilterExpression={"job_id": {"$type": "binData"}}),
    IndexModel([("picture.relative_path", ASCENDING)], unique=True),  # the public path
)

ALIASES: Final = (
    IndexModel([("project", ASCENDING), ("flow_id", ASCENDING), ("name", ASCENDING)], unique=True),
    IndexModel([("job_id", ASCENDING)]),  # the claims of a job
)

FLOWS: Final = (IndexModel([("project", ASCENDING), ("created_at", DESCENDING)]),)
KEYS: Final = (IndexModel([("project", ASCENDING)]),)
OFFSETS: Final = ()
QUARANTINE: Final = ()
TENANTS: Final = ()

COLLECTIONS: Final[dict[str, tuple[IndexModel, ...]]] = {
    "jobs": JOBS,
    "queue": QUEUE,
    "images": IMAGES,
    "aliases": ALIASES,
    "flows": FLOWS,
    "keys": KEYS,
    "offsets": OFFSETS,
    "quarantine": QUARANTINE,
    "tenants": TENANTS,
}

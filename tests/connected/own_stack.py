"""Part of the shared servers for one test alone."""

from uuid import uuid4

from services.migration import migrate
from services.settings import Settings


async def own_stack(stack: Settings) -> Settings:
    """The same servers, with topics, a database and a bucket that no other test sees."""
    name = f"test-{uuid4().hex}"
    own = stack.model_copy(
        update={
            "kafka": stack.kafka.model_copy(update={"topic_prefix": f"{name}."}),
            "mongo": stack.mongo.model_copy(update={"database": name}),
            "s3": stack.s3.model_copy(update={"bucket": name}),
        }
    )
    await migrate(own)
    return own

"""A database and topics of a test's own, with one model that takes no time."""

from pathlib import Path
from uuid import uuid4

from services.migration import migrate
from services.settings import ROOT, Settings
from tests.connected.test_generator import CATALOGUE


async def tiny_settings(stack: Settings, folder: Path) -> Settings:
    """Migrated; whoever asks drops the database."""
    catalogue = folder / "models.yaml"
    catalogue.write_text(CATALOGUE.format(folder=ROOT / "models" / "tiny"))
    settings = stack.model_copy(
        update={
            "mongo": stack.mongo.model_copy(update={"database": f"test_{uuid4().hex}"}),
            "kafka": stack.kafka.model_copy(update={"topic_prefix": f"{uuid4().hex}."}),
            "engine": stack.engine.model_copy(update={"models": catalogue}),
        }
    )
    await migrate(settings)
    return settings

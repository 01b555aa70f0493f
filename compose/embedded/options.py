"""Environment in -> where the embedded parts' files come from and are kept."""

from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class EmbeddedOptions(BaseSettings):
    """Only the command line reads these; the processes never see them."""

    model_config = SettingsConfigDict(
        env_prefix="DARKROOM_", extra="ignore", frozen=True, populate_by_name=True
    )

    cache: Path | None = None  #: downloads, shared by all stacks of this user
    mongod: Path | None = None  #: a mongod to use instead of the wheel's
    maven_repository: str | None = None  #: a mirror to use instead of Maven's own repository
    xdg_cache_home: Annotated[Path | None, Field(validation_alias="XDG_CACHE_HOME")] = None

    @property
    def cache_folder(self) -> Path:
        if self.cache is not None:
            return self.cache.expanduser().absolute()
        return (self.xdg_cache_home or Path.home() / ".cache") / "darkroom"

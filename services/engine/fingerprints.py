"""A model's name -> the SHA-256 of its files as they are now, read again only when they change."""

import asyncio
from pathlib import Path
from threading import Lock

from services.engine.catalogue import Catalogue, Model
from services.engine.files import digest
from services.errors import UnknownModel

Signature = tuple[tuple[str, int, int], ...]  #: of each file: path, bytes, modified at


class Fingerprints:
    """Hashing gigabytes takes seconds: that is done in a thread, once, and never twice at once."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._known: dict[str, tuple[Signature, str]] = {}
        self._turn = Lock()

    async def of(self, name: str) -> str | None:
        """What the catalogue says, else the folder's; None for a hub id that says nothing."""
        try:
            model = self._catalogue.find(name)
        except UnknownModel:
            return None
        if model.sha256 is not None:
            return model.sha256
        folder = self._catalogue.folder_of(model)
        return None if folder is None else await asyncio.to_thread(self._read, model, folder)

    def _read(self, model: Model, folder: Path) -> str:
        with self._turn:
            found = _signature(folder)
            known = self._known.get(model.id)
            if known is None or known[0] != found:
                known = self._known[model.id] = (found, digest(folder))
            return known[1]


def _signature(folder: Path) -> Signature:
    facts = ((file, file.stat()) for file in sorted(folder.rglob("*")) if file.is_file())
    return tuple((str(file), stat.st_size, stat.st_mtime_ns) for file, stat in facts)

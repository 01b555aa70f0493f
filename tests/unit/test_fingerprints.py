"""What a model's files are now: read once, again when they change, and never guessed."""

import asyncio
import os
from pathlib import Path

import pytest

from services.engine import fingerprints
from services.engine.files import digest
from services.engine.fingerprints import Fingerprints
from tests.unit.test_catalogue import catalogue, put_model

STATED = "a" * 64


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders that were read, in order."""
    folders: list[Path] = []

    def noted(folder: Path) -> str:
        folders.append(folder)
        return digest(folder)

    monkeypatch.setattr(fingerprints, "digest", noted)
    return folders


async def test_a_folder_is_read_once_however_many_ask(tmp_path: Path, read: list[Path]) -> None:
    put_model(tmp_path / "first")
    known = Fingerprints(catalogue(tmp_path))

    told = await asyncio.gather(*(known.of("first") for _ in range(5)))

    assert set(told) == {digest(tmp_path / "first")}
    assert len(read) == 1


async def test_a_file_that_changes_is_read_again(tmp_path: Path, read: list[Path]) -> None:
    put_model(tmp_path / "first")
    known = Fingerprints(catalogue(tmp_path))
    before = await known.of("first")
    file = tmp_path / "first" / "model_index.json"

    file.write_text("[]")  # as many bytes, so that only its time tells
    os.utime(file, ns=(1, 1))

    assert await known.of("first") == digest(tmp_path / "first") != before


async def test_what_the_catalogue_says_is_believed(tmp_path: Path, read: list[Path]) -> None:
    put_model(tmp_path / "first")
    found = catalogue(tmp_path)
    stated = found.find("first").model_copy(update={"sha256": STATED})
    stating = found.model_copy(update={"models": (stated, *found.models[1:])})

    assert await Fingerprints(stating).of("first") == STATED
    assert read == []


async def test_of_a_model_that_is_not_here_nothing_is_known(tmp_path: Path) -> None:
    known = Fingerprints(catalogue(tmp_path))

    assert await known.of("second") is None
    assert await known.of("nothing") is None

"""What doctor says of a machine and a home in which something is deliberately broken."""

import json
import shutil
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from pydantic import SecretStr

from compose.checks import Check
from compose.checks import machine as checks
from compose.embedded import ports, state
from compose.embedded.state import State
from services.engine.files import digest
from services.settings import ROOT, EngineSettings, Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A home with a catalogue of its own, whose only model is a copy of `tiny`."""
    models = tmp_path / "models"
    shutil.copytree(ROOT / "models" / "tiny", models / "tiny")
    catalogue = yaml.safe_load((ROOT / "models" / "models.yaml").read_text())
    (tiny,) = [model for model in catalogue["models"] if model["id"] == "tiny"]
    tiny["sha256"] = digest(models / "tiny")
    own = {"default": ["tiny"], "models": [tiny]}
    (models / "models.yaml").write_text(json.dumps(own))
    engine = EngineSettings(models=models / "models.yaml")
    secret = SecretStr("a secret of 24 letters..")
    return Settings(home=tmp_path / "home", master_secret=secret, engine=engine)


def found(settings: Settings) -> dict[str, Check]:
    return {check.name: check for check in checks.machine(Settings(), settings)}


def test_nothing_is_wrong_with_a_machine_on_which_nothing_is_broken(settings: Settings) -> None:
    wrong = [check for check in found(settings).values() if not check.ok]

    assert wrong == []


def test_a_short_master_secret_is_told_without_telling_it(settings: Settings) -> None:
    short = settings.model_copy(update={"master_secret": SecretStr("hunter2")})

    check = found(short)["master secret"]

    assert not check.ok
    assert "7 characters" in check.detail
    assert "openssl rand" in check.detail
    assert "hunter2" not in check.detail


def test_no_secret_is_fine_in_a_home_that_is_new_and_wrong_in_one_that_is_not(
    settings: Settings,
) -> None:
    none = settings.model_copy(update={"master_secret": SecretStr("")})
    assert found(none)["master secret"].ok

    state.save(settings.home, State())

    assert not found(none)["master secret"].ok


def test_a_model_whose_weights_were_altered_is_named_with_its_folder(settings: Settings) -> None:
    folder = settings.engine.models.parent / "tiny"
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes() + b"\0")

    check = found(settings)["model tiny"]

    assert not check.ok
    assert "not the catalogue's" in check.detail
    assert str(folder) in check.detail


def test_a_model_without_one_of_its_parts_is_told(settings: Settings) -> None:
    shutil.rmtree(settings.engine.models.parent / "tiny" / "vae")

    check = found(settings)["model tiny"]

    assert not check.ok
    assert "vae" in check.detail


def test_files_that_could_run_code_are_told(settings: Settings) -> None:
    (settings.engine.models.parent / "tiny" / "unet" / "weights.bin").write_bytes(b"pickle")

    check = found(settings)["model tiny"]

    assert not check.ok
    assert "could run code" in check.detail


def test_a_default_model_that_is_not_there_says_where_it_belongs(settings: Settings) -> None:
    folder = settings.engine.models.parent / "tiny"
    shutil.rmtree(folder)

    check = found(settings)["models"]

    assert not check.ok
    assert str(folder) in check.detail


def test_a_catalogue_that_cannot_be_read_names_its_setting(settings: Settings) -> None:
    settings.engine.models.write_text("models: [")

    check = found(settings)["models"]

    assert not check.ok
    assert "DARKROOM_ENGINE__MODELS" in check.detail


def test_a_full_disk_is_told(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage(NamedTuple):
        free: int

    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: Usage(free=2**29))

    check = found(settings)["disk"]

    assert not check.ok
    assert "0.5 GiB free" in check.detail
    assert "DARKROOM_HOME" in check.detail


def test_a_damaged_state_file_says_what_to_do(settings: Settings) -> None:
    settings.home.mkdir()
    (settings.home / state.FILE).write_text("{")

    check = checks.state_file(settings.home)

    assert not check.ok
    assert "start anew" in check.detail


@pytest.fixture
def taken() -> Iterator[int]:
    with closing(socket.create_server((ports.HOST, 0))) as listener:
        yield int(listener.getsockname()[1])


def test_a_taken_port_of_mongod_is_wrong_and_any_other_moves(
    settings: Settings, taken: int
) -> None:
    state.save(settings.home, State(ports={"mongod": taken}))
    immovable = checks.ports(settings.home)
    state.save(settings.home, State(ports={"kafka": taken}))
    movable = checks.ports(settings.home)

    assert (immovable.ok, movable.ok) == (False, True)
    assert f"{taken} (mongod's)" in immovable.detail
    assert "ss -ltnp" in immovable.detail

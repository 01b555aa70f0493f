"""Every import rule bites: broken on purpose, each is the one that fails."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RULES = {
    "Data flows one way: processes -> services -> schemas": ("schemas/jobs.py", "services.errors"),
    "Workers meet only on Kafka": ("workers/outbox.py", "workers.projector"),
    "schemas is pydantic and nothing else": ("schemas/jobs.py", "structlog"),
    "HTTP stays in api": ("services/queue.py", "starlette"),
    "The fold is pure": ("services/projection.py", "services.settings"),
    "Only the generator needs a GPU image": ("services/engine/catalogue.py", "torch"),
    "Only the engine knows torch and diffusers": ("workers/generator.py", "diffusers"),
    "One module knows S3's driver": ("services/fulfilment.py", "aioboto3"),
}


def test_every_rule_is_tried() -> None:
    configuration = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = configuration["tool"]["importlinter"]["contracts"]

    assert {contract["name"] for contract in contracts} == set(RULES)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tree")
    shutil.copy(ROOT / "pyproject.toml", folder)
    for package in ("api", "schemas", "services", "workers", "compose"):
        shutil.copytree(
            ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    return folder


@pytest.mark.parametrize(("rule", "breach"), RULES.items(), ids=RULES)
def test_a_breach_is_found(copy: Path, rule: str, breach: tuple[str, str]) -> None:
    name, imported = breach
    file = copy / name
    before = file.read_text()
    file.write_text(f"{before}\nimport {imported}\n")
    try:
        found = subprocess.run(
            (f"{sys.prefix}/bin/lint-imports", "--no-cache"),
            cwd=copy,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        file.write_text(before)

    assert found.returncode == 1
    assert f"{rule} BROKEN" in found.stdout


@pytest.mark.parametrize(
    "name", ["from pymongo import AsyncMongoClient", "import pymongo.asynchronous.collection"]
)
def test_one_module_knows_mongodb_s_client(name: str) -> None:
    """A rule of ruff, since everybody may have PyMongo's operations and errors."""
    told = {file: _ruff(file, f"{name}\n") for file in ("services/queue.py", "services/mongo.py")}

    assert "services.mongo knows MongoDB's client" in told["services/queue.py"]
    assert "TID251" not in told["services/mongo.py"]


def _ruff(file: str, source: str) -> str:
    command = (f"{sys.prefix}/bin/ruff", "check", "--no-cache", "--stdin-filename", file, "-")
    checked = subprocess.run(
        command, cwd=ROOT, input=source, capture_output=True, text=True, check=False
    )
    return checked.stdout

"""What the README says is what the project does."""

import re
from pathlib import Path

from pydantic import BaseModel

from compose.embedded.options import EmbeddedOptions
from services.settings import Settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
NAME = re.compile(r"`((?:DARKROOM|IMAGE_GEN)_[A-Z0-9_]+|…[A-Z0-9_]+)`")


def test_every_setting_is_in_the_table() -> None:
    rows = [line for line in README.splitlines() if re.match(r"\| `(DARKROOM|IMAGE_GEN)_", line)]

    missing = sorted(_variables() - _named(rows))

    assert missing == []


def test_the_table_names_no_setting_that_is_not_there() -> None:
    rows = [line for line in README.splitlines() if re.match(r"\| `(DARKROOM|IMAGE_GEN)_", line)]

    assert _named(rows) - _variables() == set()


def _variables() -> set[str]:
    names = {f"DARKROOM_{name.upper()}" for name in ("cache", "mongod", "maven_repository")}
    assert set(EmbeddedOptions.model_fields) >= {"cache", "mongod", "maven_repository"}
    for name, field in Settings.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            names |= {f"DARKROOM_{name}__{inner}".upper() for inner in section.model_fields}
        elif isinstance(field.validation_alias, str):
            names.add(field.validation_alias)
        else:
            names.add(f"DARKROOM_{name}".upper())
    return names


def _named(rows: list[str]) -> set[str]:
    """`…BUCKET` after `DARKROOM_S3__ENDPOINT_URL` is DARKROOM_S3__BUCKET."""
    found = set()
    for row in rows:
        prefix = ""
        for name in re.findall(
            r"`((?:DARKROOM|IMAGE_GEN)_[A-Z0-9_]+|…[A-Z0-9_]+)`", row.split("|")[1]
        ):
            if not name.startswith("…"):
                prefix = name.rpartition("__")[0] + "__"
            found.add(name.replace("…", prefix))
    return found

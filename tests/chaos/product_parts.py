"""What the chaos tests share: a product with the tiny model, outcomes read back, and a log."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.flow.product import ROOT, TERMINAL, Product, Record

Event = dict[str, Any]


@contextmanager
def tiny_product(home: Path, generators: int) -> Iterator[Product]:
    """Its only model is the tiny one, whatever else lies beside the catalogue."""
    models = _catalogue_of_tiny(home.parent)
    with patch.dict(os.environ, {"DARKROOM_ENGINE__MODELS": str(models)}):
        product = Product(home)
        home.mkdir(parents=True)
        try:
            started = product.run("up", "--generators", str(generators), "--json")
            product.access = json.loads(started)
            yield product
        finally:
            product.down()


def unlimited_key(product: Product, project: str) -> str:
    made = product.run("keys", "create", "--project", project, "--limit", "none", "--json")
    return str(json.loads(made)["key"])


def events_of(records: list[Record]) -> list[Event]:
    """Each once: a repeated event is the same bytes."""
    return [json.loads(value) for value in {record.value: None for record in records} if value]


def is_kind(event: Event, *kinds: str) -> bool:
    return event["type"].split(".")[-2] in kinds


def ended(records: list[Record]) -> set[str]:
    return {event["subject"] for event in events_of(records) if is_kind(event, *TERMINAL)}


def tell(*words: object) -> None:
    """A figure for docs/reliability.md; `pytest -s` shows it."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")


def _catalogue_of_tiny(folder: Path) -> Path:
    models = folder / "models"
    models.mkdir()
    (models / "tiny").symlink_to(ROOT / "models" / "tiny")
    text = (ROOT / "models" / "models.yaml").read_text()
    head, tiny = text.split("models:\n", 1)[0], text[text.index("  - id: tiny") :]
    kept = "\n".join(line for line in head.splitlines() if not line.startswith("default:"))
    file = models / "models.yaml"
    file.write_text(f"{kept}\ndefault: [tiny]\nmodels:\n{tiny}")
    return file

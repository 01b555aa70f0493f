"""The README's examples, typed as printed."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.flow.product import ROOT, Product

pytestmark = [pytest.mark.flow, pytest.mark.timeout(200)]

BLOCKS = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
OVER_HTTP, LIBRARY, OVER_KAFKA = (block for block in BLOCKS if "./darkroom up" not in block)


def test_the_curl_example_ends_with_a_picture(product: Product, tmp_path: Path) -> None:
    _type(product, OVER_HTTP, tmp_path)

    assert (tmp_path / "house.png").read_bytes().startswith(b"\x89PNG")


def test_the_library_s_example_ends_with_a_picture_made_from_another(
    product: Product, tmp_path: Path
) -> None:
    printed = json.loads(_type(product, LIBRARY, tmp_path))

    assert (tmp_path / "night.png").read_bytes().startswith(b"\x89PNG")
    night = json.loads((tmp_path / "night.json").read_text())["data"]
    boat = printed["data"]["image"]
    assert night["referenceImages"] == [{"id": boat["id"], "alias": "@boat", "url": boat["url"]}]
    assert boat["width"] > boat["height"]


def test_the_kafka_example_prints_what_happens_up_to_the_picture(
    product: Product, tmp_path: Path
) -> None:
    printed = _type(product, f'eval "$(./darkroom env)"\n{OVER_KAFKA}', tmp_path)

    *types, url = printed.splitlines()
    assert [kind.split(".")[-2] for kind in types] == ["accepted", "started", "completed"]
    assert url.startswith(f"{product.access['url']}/static/uploads/generated/")


def _type(product: Product, block: str, folder: Path) -> str:
    """In another folder than the project's, which is where its names lead."""
    for name in ("darkroom", ".venv"):
        (folder / name).symlink_to(ROOT / name)
    done = subprocess.run(
        ("bash", "-euo", "pipefail", "-c", block),
        cwd=folder,
        env={**os.environ, "DARKROOM_HOME": str(product.home)},
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout

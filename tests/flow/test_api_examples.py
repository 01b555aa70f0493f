"""The examples of the documentation's sections on presets and OpenAI's API, as printed."""

import os
import re
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Final

import httpx2
import pytest
from PIL import Image

from tests.flow.product import ROOT, Product

pytestmark = [pytest.mark.flow, pytest.mark.timeout(300)]

_PAGE: Final = (ROOT / "docs" / "api.md").read_text()


def example(section: str, language: str) -> str:
    (text,) = re.findall(rf"^## {section}\n(.*?)^## ", _PAGE, flags=re.DOTALL | re.MULTILINE)
    (block,) = re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)
    return str(block)


def printed(product: Product, folder: Path, *command: str) -> str:
    access = {
        "DARKROOM_URL": product.access["url"],
        "DARKROOM_API_KEY": product.access["api_key"],
    }
    done = subprocess.run(
        command,
        env={**os.environ, **access},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def test_a_preset_is_stored_and_used(product: Product, tmp_path: Path) -> None:
    block = example("Presets", "bash")

    saved, made = re.findall(
        r"\{.*?\}(?=\{\"jobs\"|$)", printed(product, tmp_path, "bash", "-euc", block)
    )
    assert '"slug":"poster"' in saved
    assert re.findall(r'"seed":(\d+)', made) == ["7", "8"]
    assert made.count('"status":"done"') == 2


def test_their_client_makes_and_edits_pictures(product: Product, tmp_path: Path) -> None:
    Image.new("RGB", (256, 256), "white").save(tmp_path / "heart.png")

    block = example("OpenAI's Images API", "python")
    urls = printed(product, tmp_path, sys.executable, "-c", block).split()

    files = [httpx2.get(url) for url in urls]
    formats = [Image.open(BytesIO(file.content)).format for file in files]
    assert formats == ["PNG", "PNG", "WEBP"]

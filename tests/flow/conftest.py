"""One running product for all of the flow."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flow.product import Product


@pytest.fixture(scope="session")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    home: Path = tmp_path_factory.mktemp("home") / "darkroom"
    running = Product(home)
    try:
        yield running.up()
    finally:
        running.down()

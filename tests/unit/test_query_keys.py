"""A key in the query is in no log, whatever writes it."""

import asyncio
import logging
from collections.abc import Iterator

import httpx2
import pytest
import structlog
import uvicorn

from api.app import create_app
from compose.embedded.ports import HOST, draw
from tests.conditions import until
from tests.unit.api_fakes import KEY
from tests.unit.preset_fakes import PresetParts

SECRETS = (KEY, KEY.replace("_", "%5F"), "wrong-but-mine")


@pytest.fixture
def _logged_as_in_the_product() -> Iterator[None]:
    """By default structlog shows the locals of every frame."""
    processors = structlog.processors.format_exc_info, structlog.processors.JSONRenderer()
    structlog.configure(processors=processors)
    yield
    structlog.reset_defaults()


@pytest.mark.usefixtures("_logged_as_in_the_product")
async def test_a_key_in_the_query_is_in_no_log(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Access log and debugging lines of uvicorn; found and unfound paths, and a failure."""
    parts = PresetParts()
    port = draw(avoid=set())
    app = create_app(parts._lifespan(), parts.settings)
    config = uvicorn.Config(app, host=HOST, port=port, log_level="debug", log_config=None)
    server = uvicorn.Server(config)
    caplog.set_level(logging.NOTSET)
    serving = asyncio.create_task(server.serve())
    await until(lambda: server.started, 30)
    try:
        async with httpx2.AsyncClient(base_url=f"http://{HOST}:{port}") as client:
            for secret in SECRETS:
                await client.get(f"/api/v1/presets?a=1&api_key={secret}&b=2")
                await client.post(f"/api/v1/generate/example_01?api%5Fkey={secret}", json={})
                await client.get(f"/nothing?api_key={secret}")
            parts.keys.outage = RuntimeError("nobody foresaw this")
            failed = await client.get(f"/api/v1/presets?api_key={KEY}")
    finally:
        server.should_exit = True
        await serving

    written = capfd.readouterr()
    of_server = [record for record in caplog.records if record.name.startswith("uvicorn")]
    logged = "\n".join([*(record.getMessage() for record in of_server), *written])
    assert failed.status_code == 503
    assert "GET /api/v1/presets?a=1&b=2 HTTP/1.1" in logged
    assert "request_failed" in logged
    assert not [secret for secret in SECRETS if secret in logged]

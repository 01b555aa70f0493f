"""Health over HTTP, and what importing the API costs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from api import health
from tests.unit.api_fakes import Parts


async def _away() -> None:
    raise ConnectionRefusedError("secret-host:9092")


def test_healthz_answers_without_any_part() -> None:
    parts = Parts()
    parts.pings = {"mongo": _away}

    with parts.client() as client:
        response = client.get("/healthz")

    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_readyz_is_200_when_every_part_answers() -> None:
    with Parts().client() as client:
        response = client.get("/readyz")

    assert response.status_code == 200
    assert response.json()["ready"] is True


def test_readyz_names_the_part_that_is_away_and_not_its_address() -> None:
    parts = Parts()
    parts.pings["kafka"] = _away

    with parts.client() as client:
        response = client.get("/readyz")

    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    assert response.json()["parts"]["kafka"] == {"ok": False, "detail": "ConnectionRefusedError"}
    assert response.json()["parts"]["mongo"] == {"ok": True}
    assert "secret-host" not in response.text


def test_readyz_asks_the_parts_once_for_a_burst_of_probes() -> None:
    asked: list[str] = []
    parts = Parts()

    async def counted() -> None:
        asked.append("mongo")

    parts.pings = {"mongo": counted}

    with parts.client() as client:
        for _ in range(5):
            client.get("/readyz")

    assert asked == ["mongo"]


def test_schemas_are_served_by_their_file_s_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "generation.requested.v1.json").write_text(json.dumps({"type": "object"}))
    (tmp_path.parent / "secret.json").write_text("{}")
    monkeypatch.setattr(health, "SCHEMAS", tmp_path)

    with Parts().client() as client:
        found = client.get("/schemas/generation.requested.v1.json")
        absent = client.get("/schemas/absent.json")
        outside = client.get("/schemas/..%2fsecret.json")

    assert found.json() == {"type": "object"}
    assert (absent.status_code, outside.status_code) == (404, 404)


def test_the_api_starts_without_the_gpu_stack() -> None:
    program = (
        "import sys, api.app; "
        "print([m for m in ('torch', 'diffusers', 'transformers') if m in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout.strip() == "[]"

"""The product as a stranger meets it: the launcher, HTTP, Kafka. None of our own code is called."""

import base64
import hashlib
import hmac
import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import httpx2
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

ROOT = Path(__file__).parents[2]
TERMINAL = ("completed", "failed", "cancelled")
Record = Any  # aiokafka's ConsumerRecord, which has no types


class Product:
    """One `./darkroom up`, in a home of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.access: dict[str, Any] = {}

    def run(self, *arguments: str, check: bool = True) -> str:
        done = subprocess.run(
            (str(ROOT / "darkroom"), *arguments),
            env={**os.environ, "DARKROOM_HOME": str(self.home)},
            cwd=self.home,
            capture_output=True,
            text=True,
            check=False,
        )
        assert not check or done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    def up(self) -> Self:
        self.home.mkdir(parents=True, exist_ok=True)
        self.access = json.loads(self.run("up", "--json"))
        return self

    def down(self) -> None:
        self.run("down")

    def processes(self) -> dict[str, dict[str, Any]]:
        status = json.loads(self.run("status", "--json", check=False))
        return {process["name"]: process for process in status["processes"]}

    def client(self) -> httpx2.Client:
        headers = {"X-API-Key": self.access["api_key"]}
        return httpx2.Client(base_url=self.access["url"], headers=headers, timeout=30)

    def signature(self, value: bytes) -> bytes:
        mac = hmac.digest(self.access["signing_secret"].encode(), value, hashlib.sha256)
        return f"{self.access['signing_key_id']}:{base64.b64encode(mac).decode()}".encode()

    def command(self, **job: Any) -> dict[str, Any]:
        return {
            "specversion": "1.0",
            "id": str(uuid4()),
            "source": "/tests/stranger",
            "type": "dev.darkroom.generation.requested.v1",
            "subject": f"order-{uuid4().hex[:8]}",
            "projectid": self.access["project"],
            "data": {"jobs": [{"prompt": "a green square", "width": 256, "height": 256, **job}]},
        }

    async def produce(self, *values: bytes, signed: bool = True) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=self.access["kafka"], acks="all")
        await producer.start()
        try:
            for value in values:
                headers = [("darkroom-signature", self.signature(value))] if signed else []
                await producer.send_and_wait("generation.commands", value, headers=headers)
        finally:
            await producer.stop()

    async def read(
        self, topic: str, enough: Callable[[list[Record]], bool], seconds: float = 60
    ) -> list[Record]:
        """All of a topic from its beginning, until `enough` of it was seen."""
        consumer = AIOKafkaConsumer(
            topic, bootstrap_servers=self.access["kafka"], auto_offset_reset="earliest"
        )
        await consumer.start()
        try:
            deadline = time.monotonic() + seconds
            records: list[Record] = []
            while not enough(records):
                assert time.monotonic() < deadline, f"not enough in {topic}: {len(records)}"
                found = await consumer.getmany(timeout_ms=500)
                records += [record for batch in found.values() for record in batch]
            return records
        finally:
            await consumer.stop()


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 60) -> Any:
    """What `condition` returns once it is true; whatever it raises of HTTP counts as not yet."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if found := condition():
                return found
        except httpx2.HTTPError:
            pass
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.05)

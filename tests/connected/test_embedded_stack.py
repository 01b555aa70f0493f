"""The embedded Kafka, mongod and S3 server of a second home: killed, stopped, started again."""

import os
import signal
import stat
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from subprocess import Popen
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from pymongo.errors import OperationFailure

from compose.embedded import launch, status
from compose.embedded.stack import Layout, settle
from compose.embedded.wiring import wire
from services.mongo import open_mongo
from services.object_store import S3ObjectStore
from services.settings import Settings

pytestmark = pytest.mark.connected

PATIENCE_SECONDS = 60.0
LAYOUT = Layout(parts_only=True)
AWKWARD = "größe, a\\b 日本"  #: a folder's name may be anything


class Home:
    """A stack of its own, beside the one that the other tests share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = Settings(home=folder)
        self._supervisor: Popen[bytes] | None = None

    def up(self) -> None:
        state, moved = settle(self.settings, LAYOUT)
        assert moved == ()
        self._supervisor = launch.start(self.folder, LAYOUT, with_us=True)
        for _ in launch.follow(self.folder, self._supervisor):
            pass
        self.settings = wire(Settings(home=self.folder), state)

    def down(self) -> None:
        assert self._supervisor is not None
        launch.stop(self.folder)
        self._supervisor.wait(PATIENCE_SECONDS)

    def process(self, name: str) -> status.ProcessStatus:
        written = status.read(self.folder)
        assert written is not None
        return next(process for process in written.processes if process.name == name)

    def kill(self, name: str) -> None:
        before = self.process(name)
        assert before.pid is not None
        os.kill(before.pid, signal.SIGKILL)
        wait_for(
            lambda: (
                (now := self.process(name)).ready
                and now.pid != before.pid
                and now.restarts == before.restarts + 1
            )
        )


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@pytest.fixture(scope="module")
async def home(stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Home]:
    """Beside `stack`, which has fetched what both need."""
    home = Home(tmp_path_factory.mktemp("second") / AWKWARD)
    home.up()
    await _write(home.settings)
    yield home
    home.down()


WRITTEN = uuid4().hex


async def _write(settings: Settings) -> None:
    """One acknowledged thing in each part."""
    async with open_mongo(settings.mongo) as mongo:
        await mongo.database["marks"].insert_one({"_id": WRITTEN})
    async with S3ObjectStore.open(settings.s3) as store:
        await store.ensure_bucket()
        await store.put(WRITTEN, b"kept", "text/plain", "0" * 64)
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka.bootstrap_servers)
    await admin.start()
    await admin.create_topics([NewTopic("marks", 1, 1, topic_configs={"flush.messages": "1"})])
    await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka.bootstrap_servers, acks="all")
    await producer.start()
    await producer.send_and_wait("marks", WRITTEN.encode())
    await producer.stop()


async def _assert_kept(settings: Settings) -> None:
    async with open_mongo(settings.mongo) as mongo:
        assert await mongo.database["marks"].find_one({"_id": WRITTEN})
    async with S3ObjectStore.open(settings.s3) as store:
        assert await store.get(WRITTEN) == b"kept"
    consumer = AIOKafkaConsumer(
        "marks",
        bootstrap_servers=settings.kafka.bootstrap_servers,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    record = await consumer.getone()
    await consumer.stop()
    assert record.value == WRITTEN.encode()


async def test_everything_lies_in_the_home_whatever_its_name_is(home: Home) -> None:
    async with S3ObjectStore.open(home.settings.s3) as store:
        await store.put("marked", b"mine", "text/plain", "0" * 64)

    assert list((home.folder / "s3" / "data").rglob("marked"))
    assert list((home.folder / "kafka" / "data").glob("marks-0"))
    assert (home.folder / "mongod" / "data" / "WiredTiger").exists()


async def test_what_it_holds_is_its_owner_s_alone(home: Home) -> None:
    picture = next((home.folder / "s3" / "data").rglob(WRITTEN))
    log = next((home.folder / "kafka" / "data").glob("marks-0/*.log"))

    for path in (home.folder, picture, log):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


@pytest.mark.parametrize("part", ["kafka", "mongod", "s3"])
async def test_a_killed_part_comes_back_by_itself_with_what_it_had(home: Home, part: str) -> None:
    home.kill(part)

    await _assert_kept(home.settings)


async def test_the_data_is_there_after_down_and_up_at_the_same_addresses(home: Home) -> None:
    before = home.settings
    home.down()
    home.up()

    assert home.settings == before
    await _assert_kept(home.settings)


async def test_two_homes_run_side_by_side_and_share_nothing(stack: Settings, home: Home) -> None:
    async with open_mongo(stack.mongo) as mongo:
        assert not await mongo.database["marks"].find_one({"_id": WRITTEN})

    assert stack.kafka.bootstrap_servers != home.settings.kafka.bootstrap_servers
    assert stack.s3.endpoint_url != home.settings.s3.endpoint_url
    await _assert_kept(home.settings)


async def test_mongod_refuses_who_has_no_password(home: Home) -> None:
    url = home.settings.mongo.url.get_secret_value()
    anonymous = f"mongodb://{url.partition('@')[2]}"
    nobody = home.settings.mongo.model_validate(
        {**home.settings.mongo.model_dump(), "url": anonymous}
    )

    async with open_mongo(nobody) as mongo:
        with pytest.raises(OperationFailure, match="requires authentication"):
            await mongo.database["marks"].find_one({})

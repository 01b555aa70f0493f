"""State in -> one KRaft node of Kafka: its properties, its format, its command, its readiness."""

import os
import subprocess
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from compose.embedded import java
from compose.embedded.jars import classpath, read_lock
from compose.embedded.parts import Command
from compose.embedded.ports import HOST
from compose.embedded.probes import listens
from compose.embedded.state import State, write_atomically
from compose.errors import CommandFailed

LOGGING = (
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSS",
)
#: A killed broker may register again when its session is over: 9 s by default, 15 until ready.
SHORT_SESSION = {"broker.session.timeout.ms": 3000, "broker.heartbeat.interval.ms": 500}
SHORT_ELECTION = {
    "controller.quorum.election.timeout.ms": 500,
    "controller.quorum.fetch.timeout.ms": 1000,
}


def node_name(number: int) -> str:
    return "kafka" if number == 1 else f"kafka-{number}"


def controller_name(number: int) -> str:
    return f"{node_name(number)}-controller"


def bootstrap_servers(state: State) -> str:
    nodes = range(1, state.brokers + 1)
    return ",".join(f"{HOST}:{state.ports[node_name(number)]}" for number in nodes)


class KafkaNode:
    def __init__(self, number: int, state: State, home: Path, cache: Path) -> None:
        self.name = node_name(number)
        self.stop_seconds = 10.0
        self._number = number
        self._state = state
        self._cache = cache
        self._folder = home / self.name
        self._properties = self._folder / "server.properties"
        self.archive = self._folder / "kafka.jsa"

    @property
    def command(self) -> Command:
        heap = 384 if self._state.brokers == 1 else 256
        return Command(
            arguments=(*self._java("kafka.Kafka", heap), str(self._properties)),
            environment=java.ENVIRONMENT,
            folder=self._folder,
        )

    def prepare(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        java.prepare_archive(self.archive, self._cache)
        write_atomically(self._properties, java.properties(self.properties()))
        if not (self._folder / "data" / "meta.properties").exists():
            self._format()

    def after_stop(self) -> None:
        java.keep_archive(self.archive, self._cache)

    async def ready(self) -> bool:
        port = self._state.ports[self.name]
        if not await listens(port):
            return False
        admin = AIOKafkaAdminClient(bootstrap_servers=f"{HOST}:{port}", request_timeout_ms=5000)
        try:
            await admin.start()
            cluster = await admin.describe_cluster()
        except KafkaError:
            return False
        finally:
            await admin.close()
        return any(broker["node_id"] == self._number for broker in cluster["brokers"])

    def properties(self) -> dict[str, object]:
        state, number = self._state, self._number
        broker = f"PLAINTEXT://{HOST}:{state.ports[self.name]}"
        controller = f"CONTROLLER://{HOST}:{state.ports[controller_name(number)]}"
        voters = (
            f"{node}@{HOST}:{state.ports[controller_name(node)]}"
            for node in range(1, state.brokers + 1)
        )
        replicas = min(3, state.brokers)
        in_sync = max(1, replicas - 1)
        return {
            "process.roles": "broker,controller",
            "node.id": number,
            "controller.quorum.voters": ",".join(voters),
            "controller.listener.names": "CONTROLLER",
            "listeners": f"{broker},{controller}",
            "advertised.listeners": broker,
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": "data",  # where it runs: a comma in the whole path would part it in two
            "auto.create.topics.enable": "false",
            "default.replication.factor": replicas,
            "min.insync.replicas": in_sync,
            "offsets.topic.num.partitions": 8,
            "offsets.topic.replication.factor": replicas,
            "offsets.retention.minutes": 35 * 24 * 60,  # longer than commands are kept
            "transaction.state.log.num.partitions": 4,
            "transaction.state.log.replication.factor": replicas,
            "transaction.state.log.min.isr": in_sync,
            "share.coordinator.state.topic.num.partitions": 4,
            "share.coordinator.state.topic.replication.factor": replicas,
            "share.coordinator.state.topic.min.isr": in_sync,
            "group.initial.rebalance.delay.ms": 0,
            "log.cleaner.dedupe.buffer.size": 8 * 1024 * 1024,  # the default wants 128 MiB
            "log.index.size.max.bytes": 1024 * 1024,  # preallocated for each partition
            "num.network.threads": 2,
            "num.io.threads": 4,
            **SHORT_SESSION,
            **(SHORT_ELECTION if state.brokers > 1 else {}),
        }

    def _format(self) -> None:
        tool = self._java("kafka.tools.StorageTool", 128)
        format_once = (*tool, "format", "-t", self._state.cluster_id, "-c", str(self._properties))
        done = subprocess.run(
            format_once,
            cwd=self._folder,
            env={**os.environ, **java.ENVIRONMENT},
            capture_output=True,
            check=False,
            text=True,
        )
        if done.returncode:
            raise CommandFailed(f"Kafka's storage can't be formatted: {done.stdout}{done.stderr}")

    def _java(self, main: str, heap: int) -> tuple[str, ...]:
        jars = classpath(read_lock().kafka, self._cache)
        return java.command(main, jars, heap, self.archive, *LOGGING)

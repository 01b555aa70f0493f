"""State in -> S3Proxy on a folder: its configuration, its command, its readiness."""

from pathlib import Path

from compose.embedded import java
from compose.embedded.jars import classpath, read_lock
from compose.embedded.parts import Command
from compose.embedded.ports import HOST
from compose.embedded.probes import http_status
from compose.embedded.state import State, write_atomically

NAME = "s3"
HEAP_MEGABYTES = 192
LOGBACK = """<configuration>
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%d{yyyy-MM-dd'T'HH:mm:ss.SSS} %-5level %logger{0} %msg%n</pattern></encoder>
  </appender>
  <root level="warn"><appender-ref ref="out"/></root>
</configuration>
"""


def endpoint_url(state: State) -> str:
    return f"http://{HOST}:{state.ports[NAME]}"


class S3Proxy:
    def __init__(self, state: State, bucket: str, home: Path, cache: Path) -> None:
        self.name = NAME
        self.stop_seconds = 5.0
        self._state = state
        self._bucket = bucket
        self._cache = cache
        self._folder = home / NAME
        self.archive = self._folder / "s3proxy.jsa"

    @property
    def command(self) -> Command:
        jars = classpath(read_lock().s3, self._cache)
        logging = f"-Dlogback.configurationFile={self._folder / 'logback.xml'}"
        start = java.command("org.gaul.s3proxy.Main", jars, HEAP_MEGABYTES, self.archive, logging)
        return Command(
            arguments=(*start, "--properties", str(self._folder / "s3proxy.conf")),
            environment=java.ENVIRONMENT,
            folder=self._folder,
        )

    def prepare(self) -> None:
        # a bucket of this store is a folder
        (self._folder / "data" / self._bucket).mkdir(parents=True, exist_ok=True)
        java.prepare_archive(self.archive, self._cache)
        write_atomically(self._folder / "logback.xml", LOGBACK)
        properties = {
            "s3proxy.endpoint": endpoint_url(self._state),
            "s3proxy.authorization": "aws-v4",
            "s3proxy.identity": self._state.s3_access_key,
            "s3proxy.credential": self._state.s3_secret_key,
            "jclouds.provider": "filesystem-nio2",
            "jclouds.filesystem.basedir": self._folder / "data",
        }
        write_atomically(self._folder / "s3proxy.conf", java.properties(properties))

    def after_stop(self) -> None:
        java.keep_archive(self.archive, self._cache)

    async def ready(self) -> bool:
        """An unsigned request is refused: that is all a server can say that checks signatures."""
        return await http_status(self._state.ports[NAME], "/") == 403

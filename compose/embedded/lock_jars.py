"""Maven coordinates in -> `jars.lock.json`: every jar's path, size and SHA-256 (for developers).

Run `python -m compose.embedded.lock_jars` after changing a version here.
"""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from jgo.maven import Artifact, MavenContext

from compose.embedded.jars import LOCK, Jar, JarLock

KAFKA = ("org.apache.kafka:kafka_2.13:4.3.1", "org.slf4j:slf4j-simple:1.7.36")
S3PROXY = ("org.gaul:s3proxy:4.1.0",)

#: S3Proxy's other stores and their clients: two thirds of its 149 jars, which the file system
#: store never loads (seen with -Xlog:class+load through puts, gets, lists, copies, multiparts).
UNUSED = (
    "com.azure",
    "com.fasterxml.jackson.core:jackson-core",
    "com.fasterxml.jackson.core:jackson-databind",
    "com.fasterxml.jackson.dataformat",
    "com.fasterxml.jackson.datatype",
    "com.github.fge",
    "com.github.openstack4j",
    "com.google.android",
    "com.google.api",
    "com.google.api-client",
    "com.google.apis",
    "com.google.auth",
    "com.google.auto",
    "com.google.cloud",
    "com.google.code",
    "com.google.http-client",
    "com.google.jimfs",
    "com.google.oauth-client",
    "com.google.protobuf",
    "com.google.re2j",
    "com.microsoft",
    "com.squareup",
    "commons-codec",
    "io.grpc",
    "io.opencensus",
    "io.opentelemetry",
    "io.perfmark",
    "io.projectreactor",
    "io.prometheus",
    "net.java.dev.jna",
    "org.apache.httpcomponents",
    "org.apache.sshd",
    "org.checkerframework",
    "org.codehaus.mojo",
    "org.eclipse.jetty",
    "org.reactivestreams",
    "org.threeten",
    "org.yaml",
)


def main() -> None:
    maven = MavenContext(timeout=60)
    lock = JarLock(kafka=_lock(maven, KAFKA), s3=_lock(maven, S3PROXY, without=UNUSED))
    LOCK.write_text(lock.model_dump_json(indent=1) + "\n")


def _lock(
    maven: MavenContext, coordinates: tuple[str, ...], without: tuple[str, ...] = ()
) -> tuple[Jar, ...]:
    wanted = [maven.create_dependency(coordinate) for coordinate in coordinates]
    inputs, transitive = maven.resolver.resolve(wanted)
    artifacts = [found.artifact for found in (*inputs, *transitive)]
    kept = [artifact for artifact in artifacts if not _is_under(artifact, without)]
    with ThreadPoolExecutor(8) as pool:
        return tuple(pool.map(_jar, kept))


def _is_under(artifact: Artifact, prefixes: tuple[str, ...]) -> bool:
    name = f"{artifact.groupId}:{artifact.artifactId}"
    return any(f"{name}:".startswith((f"{prefix}.", f"{prefix}:")) for prefix in prefixes)


def _jar(artifact: Artifact) -> Jar:
    file: Path = artifact.resolve()
    path = f"{artifact.groupId.replace('.', '/')}/{artifact.artifactId}/{artifact.version}"
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return Jar(path=f"{path}/{artifact.filename}", size=file.stat().st_size, sha256=digest)


if __name__ == "__main__":
    main()

"""Settings in -> a home's state settled, its downloads made, its supervisor put together."""

from collections.abc import Iterable
from pathlib import Path

from compose.embedded import kafka, mongod, ports, s3
from compose.embedded.apps import GENERATOR, Api, Worker, metrics_port, numbered, python
from compose.embedded.jars import Jar, read_lock
from compose.embedded.options import EmbeddedOptions
from compose.embedded.parts import Part
from compose.embedded.state import State, load, save
from compose.embedded.supervisor import Supervisor
from compose.embedded.wiring import has_own_kafka, has_own_mongod, has_own_s3, url, wire
from compose.errors import CommandFailed, UsageFailed
from schemas.common import Value
from services.settings import Settings


class Layout(Value):
    """How many of each; `parts_only` leaves our own processes and the migration out."""

    brokers: int | None = None  #: None: as many as this home had
    api: int = 1
    generators: int = 1
    parts_only: bool = False


def settle(settings: Settings, layout: Layout) -> tuple[State, tuple[str, ...]]:
    """The home's state with a free port for each name, and the names whose port had to move."""
    home = settings.home.absolute()
    if layout.brokers == 2:
        raise UsageFailed("two Kafka nodes survive less than one", "choose --brokers 1 or 3")
    state = load(home) or State(brokers=layout.brokers or 1)
    if layout.brokers not in (None, state.brokers):
        raise UsageFailed(
            f"{home} was made with {state.brokers} Kafka node(s), which can't change afterwards",
            "leave --brokers out, or choose another folder with DARKROOM_HOME",
        )
    names = _port_names(settings, state.brokers, layout)
    settled = ports.settle(names, _wanted(settings, state))
    _refuse_moves(settings, state, settled)
    moved = tuple(name for name in names if state.ports.get(name, settled[name]) != settled[name])
    state = state.model_copy(update={"ports": {**state.ports, **settled}})
    state = state.model_copy(update={"url": url(state)})
    save(home, state)
    return state, moved


def _port_names(settings: Settings, brokers: int, layout: Layout) -> tuple[str, ...]:
    nodes = range(1, brokers + 1) if has_own_kafka(settings) else range(0)
    return (
        *numbered("api", layout.api),
        *(metrics_port(name) for name, _ in _workers(layout)),
        *(kafka.node_name(number) for number in nodes),
        *(kafka.controller_name(number) for number in nodes),
        *([mongod.NAME] if has_own_mongod(settings) else []),
        *([s3.NAME] if has_own_s3(settings) else []),
    )


def _wanted(settings: Settings, state: State) -> dict[str, int]:
    """The API's: DARKROOM_PORT, else the one before, else the default's."""
    chosen = "port" in settings.model_fields_set or "api" not in state.ports
    return {**state.ports, "api": settings.port} if chosen else dict(state.ports)


def _refuse_moves(settings: Settings, state: State, settled: dict[str, int]) -> None:
    if "port" in settings.model_fields_set and settled["api"] != settings.port:
        raise CommandFailed(
            f"port {settings.port} (DARKROOM_PORT, the API's) is taken by another program",
            "end that program or choose another port",
        )
    kept = state.ports.get(mongod.NAME)
    if kept is not None and settled.get(mongod.NAME, kept) != kept:
        raise CommandFailed(
            f"port {kept}, which this home's mongod must have again, is taken by another program",
            f"find it with `ss -ltnp 'sport = :{kept}'` and end it",
        )


def jars(settings: Settings) -> tuple[Jar, ...]:
    lock = read_lock()
    return (
        *(lock.kafka if has_own_kafka(settings) else ()),
        *(lock.s3 if has_own_s3(settings) else ()),
    )


def supervisor(settings: Settings, state: State, layout: Layout) -> Supervisor:
    wired = wire(settings, state)
    stack = tuple(parts(settings, state, wired.home))
    if layout.parts_only:
        return Supervisor(wired.home, stack, None, ())
    migration = python(wired, "-m", "compose.cli", "migrate")
    return Supervisor(wired.home, stack, migration, apps(wired, state, layout))


def parts(settings: Settings, state: State, home: Path) -> Iterable[Part]:
    options = EmbeddedOptions()
    if has_own_kafka(settings):
        for number in range(1, state.brokers + 1):
            yield kafka.KafkaNode(number, state, home, options.cache_folder)
    if has_own_mongod(settings):
        yield mongod.Mongod(state, options.mongod, home)
    if has_own_s3(settings):
        yield s3.S3Proxy(state, settings.s3.bucket, home, options.cache_folder)


def apps(wired: Settings, state: State, layout: Layout) -> tuple[Part, ...]:
    drain = wired.generator.drain.total_seconds() + 5
    return (
        *(Api(name, wired, state.ports[name]) for name in numbered("api", layout.api)),
        *(
            Worker(
                name,
                module,
                wired,
                state.ports.get(metrics_port(name)),
                drain if module == GENERATOR else 5,
            )
            for name, module in _workers(layout)
        ),
    )


def _workers(layout: Layout) -> tuple[tuple[str, str], ...]:
    """Names and their modules."""
    generators = numbered("generator", layout.generators) if layout.generators else ()
    return (
        *((name, GENERATOR) for name in generators),
        ("projector", "workers.projector"),
        ("outbox", "workers.outbox"),
    )

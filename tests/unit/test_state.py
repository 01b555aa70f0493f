"""What a home keeps: secrets for its owner alone, and the ports it had."""

import socket
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from compose.embedded import ports, state
from compose.embedded.locks import hold
from compose.embedded.stack import Layout, settle
from compose.embedded.state import State
from compose.embedded.wiring import environment, wire
from compose.errors import CommandFailed, UsageFailed
from services.settings import ApiSettings, Settings

LAYOUT = Layout()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with closing(socket.create_server((ports.HOST, 0))) as opened:
        yield opened


def port_of(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


def test_only_its_owner_reads_the_state(tmp_path: Path) -> None:
    state.save(tmp_path, State())

    assert stat.S_IMODE((tmp_path / state.FILE).stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == [state.FILE]


def test_a_home_that_is_made_is_its_owner_s_alone(tmp_path: Path) -> None:
    settle(Settings(home=tmp_path / "settled"), LAYOUT)
    with hold(tmp_path / "held" / "up.lock"):
        pass

    for home in ("settled", "held"):
        assert stat.S_IMODE((tmp_path / home).stat().st_mode) == 0o700


def test_the_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = State(ports={"kafka": 21001})
    state.save(tmp_path, written)

    assert state.load(tmp_path) == written


def test_two_homes_share_no_secret() -> None:
    one, other = State(), State()

    assert one.master_secret != other.master_secret
    assert one.mongo_password != other.mongo_password
    assert one.s3_secret_key != other.s3_secret_key
    assert one.cluster_id != other.cluster_id


def test_a_damaged_state_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / state.FILE).write_text("{")

    with pytest.raises(CommandFailed) as failure:
        state.load(tmp_path)

    assert str(tmp_path) in failure.value.hint


def test_ports_stay_from_one_start_to_the_next(settings: Settings) -> None:
    first, _ = settle(settings, LAYOUT)
    second, moved = settle(settings, LAYOUT)

    assert second == first
    assert moved == ()
    assert len(set(first.ports.values())) == len(first.ports)


def test_a_part_whose_port_is_taken_moves(settings: Settings, listener: socket.socket) -> None:
    first, _ = settle(settings, LAYOUT)
    taken = {**first.ports, "s3": port_of(listener)}
    state.save(settings.home, first.model_copy(update={"ports": taken}))

    second, moved = settle(settings, LAYOUT)

    assert moved == ("s3",)
    assert second.ports["kafka"] == first.ports["kafka"]
    assert second.ports["s3"] != port_of(listener)


def test_mongod_does_not_move_since_its_replica_set_remembers(
    settings: Settings, listener: socket.socket
) -> None:
    first, _ = settle(settings, LAYOUT)
    taken = {**first.ports, "mongod": port_of(listener)}
    state.save(settings.home, first.model_copy(update={"ports": taken}))

    with pytest.raises(CommandFailed, match=f"port {port_of(listener)}.*mongod"):
        settle(settings, LAYOUT)


def test_a_chosen_port_that_is_taken_is_refused(tmp_path: Path, listener: socket.socket) -> None:
    settings = Settings(home=tmp_path, port=port_of(listener))

    with pytest.raises(CommandFailed, match="DARKROOM_PORT"):
        settle(settings, LAYOUT)


def test_the_number_of_brokers_is_fixed_at_the_first_start(settings: Settings) -> None:
    settle(settings, Layout(brokers=3))
    again, _ = settle(settings, LAYOUT)

    assert again.brokers == 3
    with pytest.raises(UsageFailed, match="3 Kafka"):
        settle(settings, Layout(brokers=1))


def test_a_part_with_a_url_is_left_to_its_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DARKROOM_KAFKA__BOOTSTRAP_SERVERS", "kafka.example:9092")
    settings = Settings(home=tmp_path)
    settled, _ = settle(settings, LAYOUT)
    wired = wire(settings, settled)

    assert not [name for name in settled.ports if name.startswith("kafka")]
    assert wired.kafka.bootstrap_servers == "kafka.example:9092"
    assert f":{settled.ports['mongod']}/" in wired.mongo.url.get_secret_value()


def test_the_environment_makes_the_same_settings_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled, _ = settle(settings, LAYOUT)
    wired = wire(settings, settled)
    for name, value in environment(wired).items():
        monkeypatch.setenv(name, value)

    assert Settings() == wired


def test_a_store_without_keys_is_left_to_boto_s_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DARKROOM_S3__ENDPOINT_URL", "https://s3.example")
    settings = Settings(home=tmp_path)
    settled, _ = settle(settings, LAYOUT)

    assert not [name for name in environment(wire(settings, settled)) if "AWS" in name]


def test_any_page_may_ask_a_developer_s_own_stack_unless_it_was_told_whose_may(
    settings: Settings,
) -> None:
    settled, _ = settle(settings, LAYOUT)
    told = settings.model_copy(update={"api": ApiSettings(cors_origins=[])})

    assert environment(wire(settings, settled))["DARKROOM_API__CORS_ORIGINS"] == '["*"]'
    assert environment(wire(told, settled))["DARKROOM_API__CORS_ORIGINS"] == "[]"

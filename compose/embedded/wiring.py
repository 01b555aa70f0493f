"""Settings and state in -> the settings that every process of this stack gets.

A part whose URL was given is somebody else's; the others are embedded and get their own address.
"""

import json
from pathlib import Path

from pydantic import SecretStr

from compose.embedded import kafka, mongod, s3
from compose.embedded.ports import HOST
from compose.embedded.state import State
from services.settings import (
    ApiSettings,
    EngineSettings,
    KafkaSettings,
    MongoSettings,
    S3Settings,
    Settings,
)

ROOT = Path(__file__).resolve().parents[2]


def has_own_kafka(settings: Settings) -> bool:
    return "bootstrap_servers" not in settings.kafka.model_fields_set


def has_own_mongod(settings: Settings) -> bool:
    return "url" not in settings.mongo.model_fields_set


def has_own_s3(settings: Settings) -> bool:
    return "endpoint_url" not in settings.s3.model_fields_set


def wire(settings: Settings, state: State) -> Settings:
    given = settings.master_secret.get_secret_value()
    return settings.model_copy(
        update={
            "home": settings.home.absolute(),
            "port": state.ports.get("api", settings.port),
            "master_secret": SecretStr(given or state.master_secret),
            "kafka": _kafka(settings, state),
            "mongo": _mongo(settings, state),
            "s3": _s3(settings, state),
            "engine": _engine(settings.engine),
            "api": _api(settings.api),
        }
    )


def _kafka(settings: Settings, state: State) -> KafkaSettings:
    if not has_own_kafka(settings):
        return settings.kafka
    return settings.kafka.model_copy(update={"bootstrap_servers": kafka.bootstrap_servers(state)})


def _mongo(settings: Settings, state: State) -> MongoSettings:
    if not has_own_mongod(settings):
        return settings.mongo
    return settings.mongo.model_copy(update={"url": SecretStr(mongod.url(state))})


def _s3(settings: Settings, state: State) -> S3Settings:
    if not has_own_s3(settings):
        return settings.s3
    return settings.s3.model_copy(
        update={
            "endpoint_url": s3.endpoint_url(state),
            "aws_access_key_id": state.s3_access_key,
            "aws_secret_access_key": SecretStr(state.s3_secret_key),
        }
    )


def _engine(engine: EngineSettings) -> EngineSettings:
    folder = Path.cwd() if "models" in engine.model_fields_set else ROOT
    return engine.model_copy(update={"models": folder / engine.models})


def _api(api: ApiSettings) -> ApiSettings:
    """Any page may ask the stack that its developer has started, unless it was told whose may."""
    given = "cors_origins" in api.model_fields_set
    return api if given else api.model_copy(update={"cors_origins": ["*"]})


def environment(settings: Settings) -> dict[str, str]:
    """`settings` as the variables that make them again; what isn't here is inherited."""
    port = settings.metrics.port
    return {
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "DARKROOM_HOME": str(settings.home),
        "DARKROOM_PORT": str(settings.port),
        "DARKROOM_MASTER_SECRET": settings.master_secret.get_secret_value(),
        "DARKROOM_KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
        "DARKROOM_MONGO__URL": settings.mongo.url.get_secret_value(),
        "DARKROOM_S3__ENDPOINT_URL": settings.s3.endpoint_url or "",
        **_s3_keys(settings.s3),
        "DARKROOM_ENGINE__MODELS": str(settings.engine.models),
        "DARKROOM_API__CORS_ORIGINS": json.dumps(settings.api.cors_origins),
        **({} if port is None else {"DARKROOM_METRICS__PORT": str(port)}),
    }


def _s3_keys(s3: S3Settings) -> dict[str, str]:
    """Without them boto looks for its own: a profile, a role."""
    if s3.aws_access_key_id is None or s3.aws_secret_access_key is None:
        return {}
    return {
        "DARKROOM_S3__AWS_ACCESS_KEY_ID": s3.aws_access_key_id,
        "DARKROOM_S3__AWS_SECRET_ACCESS_KEY": s3.aws_secret_access_key.get_secret_value(),
    }


def url(state: State) -> str:
    return f"http://{HOST}:{state.ports['api']}"

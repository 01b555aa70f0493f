"""Environment in -> one typed `Settings`: the only place that reads configuration."""

from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

ROOT = Path(__file__).parents[1]  #: of the project


def _seconds(given: object) -> object:
    """A plain number is seconds, in a variable too: pydantic takes "2" for a broken "2 days"."""
    with suppress(ValueError):
        return float(given) if isinstance(given, str) else given
    return given


def _given(value: object) -> object:
    """Compose files pass on a variable that nobody has set as an empty one."""
    return None if value == "" else value


Duration = Annotated[timedelta, BeforeValidator(_seconds)]


class KafkaSettings(BaseModel):
    """Names are aiokafka's own."""

    bootstrap_servers: str = "127.0.0.1:9092"
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    sasl_plain_username: str | None = None
    sasl_plain_password: SecretStr | None = None
    ssl_cafile: Path | None = None  #: who signed the brokers' certificates; default: the system's
    topic_prefix: str = ""  #: put before every topic's name, e.g. "staging."


class MongoSettings(BaseModel):
    """A replica set is needed: admission, queue and projector use transactions."""

    url: SecretStr = SecretStr("mongodb://127.0.0.1:27017/?replicaSet=rs0")
    database: str = "darkroom"
    server_selection_timeout: Duration = timedelta(seconds=4)
    max_pool_size: int = 32


class S3Settings(BaseModel):
    """Names are boto's own; `endpoint_url` empty means AWS itself."""

    endpoint_url: str | None = "http://127.0.0.1:9000"
    region_name: str = "us-east-1"
    bucket: str = "darkroom"
    aws_access_key_id: str | None = None
    aws_secret_access_key: SecretStr | None = None


class ApiSettings(BaseModel):
    host: str = "127.0.0.1"
    cors_origins: list[str] = Field(default_factory=list)
    body_limit: int = 1024 * 1024  #: bytes of a JSON body
    unavailable_after: Duration = timedelta(seconds=4)  #: then 503


class JwtSettings(BaseModel):
    """Which tokens name a user; nothing set: those that `darkroom tokens create` makes."""

    algorithms: Annotated[list[Literal["HS256", "RS256", "ES256"]], Field(min_length=1)] = ["HS256"]
    secret: Annotated[SecretStr, Field(min_length=32)] | None = None  #: of HS256; default: derived
    jwks: str | None = None  #: of RS256 and ES256: a file or a URL
    issuer: str | None = None  #: what `iss` must be
    audience: str | None = None  #: what `aud` must be, or hold
    leeway: Annotated[Duration, Field(ge=timedelta(), le=timedelta(minutes=1))] = timedelta(
        seconds=10
    )
    refresh: Duration = timedelta(seconds=30)  #: at least, between two looks at the JWKS

    @model_validator(mode="after")
    def _public_keys_are_for_their_algorithms(self) -> Self:
        if (set(self.algorithms) != {"HS256"}) != (self.jwks is not None):
            raise ValueError("jwks goes with RS256 or ES256 in algorithms")
        return self


class GeneratorSettings(BaseModel):
    lease: Duration = timedelta(seconds=30)
    renew: Duration = timedelta(seconds=5)
    poll: Duration = timedelta(milliseconds=100)  #: between claims while there is no work
    sweep: Duration = timedelta(seconds=2)
    ageing: Duration = timedelta(minutes=5)  #: after which a run moves to a more urgent lane
    max_attempts: int = 4
    backoff: Duration = timedelta(seconds=1)  #: before a crashed run is ready again; doubles
    drain: Duration = timedelta(seconds=20)  #: what SIGTERM leaves a running job before SIGKILL


class EngineSettings(BaseModel):
    models: Path = ROOT / "models" / "models.yaml"  #: the catalogue
    device: str = "auto"  #: auto cpu cuda cuda:0 mps
    threads: int = 1  #: CPU threads of the model; part of what fixes the bytes


class EnhanceSettings(BaseModel):
    """A language model that makes prompts better; without a URL the catalogue's rules do."""

    url: str | None = None  #: of an OpenAI-compatible API, e.g. http://127.0.0.1:11434/v1
    model: str = "default"  #: the language model's name there
    api_key: SecretStr | None = None
    timeout: Duration = timedelta(seconds=10)  #: then the rules do it


class OutboxSettings(BaseModel):
    poll: Duration = timedelta(seconds=1)
    after: Duration = timedelta(seconds=5)  #: an unpublished job older than this is sent again


class MetricsSettings(BaseModel):
    port: int | None = None  #: of this process's own `/metrics`; none: it has no port for that
    host: str = "127.0.0.1"
    api: Literal["loopback", "everyone", "nobody"] = "loopback"  #: who gets the API's `/metrics`


class Settings(BaseSettings):
    """Every `DARKROOM_*` variable; `__` separates sections: `DARKROOM_KAFKA__BOOTSTRAP_SERVERS`."""

    model_config = SettingsConfigDict(
        env_prefix="DARKROOM_",
        env_nested_delimiter="__",
        extra="ignore",
        frozen=True,
        populate_by_name=True,
    )

    home: Path = Path(".darkroom")  #: data of the embedded stack, state file, logs
    port: int = 5782
    public_url: str | None = None  #: origin of absolute URLs; default: the request's own
    project: str = "default"  #: the project of keys and tokens that name none
    master_secret: SecretStr = SecretStr("")  #: signing secrets are derived from it
    #: of another instance, which makes recipes' pictures for this one
    image_gen_url: Annotated[
        str | None, BeforeValidator(_given), Field(validation_alias="IMAGE_GEN_URL")
    ] = None
    #: with which that one is asked, and which this one takes; default: derived
    image_gen_token: Annotated[
        SecretStr | None, BeforeValidator(_given), Field(validation_alias="IMAGE_GEN_TOKEN")
    ] = None
    log_format: Literal["auto", "json", "console"] = "auto"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    kafka: KafkaSettings = KafkaSettings()
    mongo: MongoSettings = MongoSettings()
    s3: S3Settings = S3Settings()
    api: ApiSettings = ApiSettings()
    jwt: JwtSettings = JwtSettings()
    generator: GeneratorSettings = GeneratorSettings()
    engine: EngineSettings = EngineSettings()
    enhance: EnhanceSettings = EnhanceSettings()
    outbox: OutboxSettings = OutboxSettings()
    metrics: MetricsSettings = MetricsSettings()

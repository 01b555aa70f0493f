"""Settings and the first key in -> everything that another program needs to use this stack."""

from pathlib import Path

import typer

from compose.embedded.state import FirstKey
from schemas.common import Value
from services.settings import Settings


class S3Access(Value):
    endpoint: str
    bucket: str
    access_key: str
    secret_key: str


class Summary(Value):
    """Everything that another program needs to use this stack."""

    url: str
    api_key: str
    signing_key_id: str
    signing_secret: str
    project: str
    kafka: str
    mongo: str
    s3: S3Access
    home: Path


def summary(settings: Settings, url: str, key: FirstKey) -> Summary:
    secret = settings.s3.aws_secret_access_key
    access = S3Access(
        endpoint=settings.s3.endpoint_url or "",
        bucket=settings.s3.bucket,
        access_key=settings.s3.aws_access_key_id or "",
        secret_key=secret.get_secret_value() if secret else "",
    )
    return Summary(
        url=url,
        api_key=key.key,
        signing_key_id=key.signing_key_id,
        signing_secret=key.signing_secret,
        project=key.project,
        kafka=settings.kafka.bootstrap_servers,
        mongo=settings.mongo.url.get_secret_value(),
        s3=access,
        home=settings.home,
    )


RANDOM = """\
               the model `tiny` has random weights: its pictures mean nothing;
               put a model in models/models.yaml
"""


def print_summary(
    summary: Summary, picture: Path, seconds: float, prompt: str, *, random_weights: bool
) -> None:
    typer.echo(f"""
first picture  {picture} ({seconds:.1f} s)
{RANDOM if random_weights else ""}\
URL            {summary.url}
API key        {summary.api_key}
Kafka          {summary.kafka}
home           {summary.home}

next: ./darkroom generate "{prompt}" -o boat.png
      ./darkroom status | logs | doctor | down""")

"""A prompt in -> a picture file."""

from pathlib import Path
from typing import Annotated

import typer

from compose.commands.access import Key, Url, client
from compose.commands.pictures import check_writable, make
from compose.console import Json, print_json
from compose.errors import UsageFailed
from schemas.jobs import Tier
from schemas.wire.blog import GenerationBody, ImageJobStatusResponse


class Generated(ImageJobStatusResponse):
    files: tuple[Path, ...]


Prompt = Annotated[str, typer.Argument(help="What the picture shows.")]
File = Annotated[
    Path | None, typer.Option("-o", "--output", help="Where to save it; more get -2, -3 …")
]
TierOption = Annotated[Tier, typer.Option("--tier", help="Speed against quality.")]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="Same seed, same picture.")]
Size = Annotated[str | None, typer.Option("--size", metavar="WxH", help="Such as 512x512.")]
Number = Annotated[int, typer.Option("-n", "--number", min=1, max=4, help="How many pictures.")]
Negative = Annotated[str | None, typer.Option("--negative-prompt", help="What it must not show.")]


def generate(  # noqa: PLR0913, PLR0917
    prompt: Prompt,
    output: File = None,
    tier: TierOption = Tier.STANDARD,
    seed: Seed = None,
    size: Size = None,
    number: Number = 1,
    negative_prompt: Negative = None,
    url: Url = None,
    key: Key = None,
    json: Json = False,
) -> None:
    """Make a picture and save it here."""
    width, height = _sides(size)
    body = GenerationBody(
        prompt=prompt,
        quality=tier,
        width=width,
        height=height,
        seed=seed,
        num_images=number,
        negative_prompt=negative_prompt,
    )
    file = output or Path("darkroom.png")
    check_writable(file)
    with client(url, key) as opened:
        job, files = make(opened, body, file)
    if json:
        print_json(Generated(**dict(job), files=files), sparse=True)
        return
    for file in files:
        typer.echo(f"{file}")


def _sides(size: str | None) -> tuple[int | None, int | None]:
    if size is None:
        return None, None
    width, _, height = size.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise UsageFailed(f"--size {size} is not WxH", "give it like --size 512x512")
    return int(width), int(height)

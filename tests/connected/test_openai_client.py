"""OpenAI's own client against the running API, generator and projector."""

from base64 import b64decode
from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any

import httpx2
import openai
import pytest
from PIL import Image

from services.accounts import Keys
from services.issuance import CreatedKey
from services.mongo import Mongo, open_mongo
from services.settings import Settings
from services.signing import Signer
from tests.connected.api_processes import ApiProcess, api_process
from tests.connected.process_parts import process_of
from tests.connected.tiny_parts import tiny_settings

pytestmark = [pytest.mark.connected, pytest.mark.timeout(500)]

PROMPT = "a red circle on a blue background"
SMALL: Any = "64x64"


@pytest.fixture(scope="module")
async def settings(stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return await tiny_settings(stack, tmp_path_factory.mktemp("catalogue"))


@pytest.fixture(scope="module")
async def mongo(settings: Settings) -> AsyncIterator[Mongo]:
    async with open_mongo(settings.mongo) as mongo:
        yield mongo
        await mongo.client.drop_database(settings.mongo.database)


@pytest.fixture(scope="module")
async def key(settings: Settings, mongo: Mongo) -> CreatedKey:
    signer = Signer(settings.master_secret.get_secret_value())
    return await Keys(mongo, signer).create("test-openai", limit=None)


@pytest.fixture(scope="module")
async def api(settings: Settings) -> AsyncIterator[ApiProcess]:
    models = {"DARKROOM_ENGINE__MODELS": str(settings.engine.models)}
    async with (
        process_of("workers.generator", settings),
        process_of("workers.projector", settings),
        api_process(settings, **models) as api,
    ):
        yield api


@pytest.fixture(scope="module")
async def client(api: ApiProcess, key: CreatedKey) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(api_key=key.key, base_url=f"{api.url}/v1") as client:
        while True:  # the engine loads while the first one waits
            try:
                await client.images.generate(prompt=PROMPT, size=SMALL)
            except openai.InternalServerError:
                continue
            break
        yield client


def picture(size: tuple[int, int] = (64, 64), colour: str = "teal") -> bytes:
    content = BytesIO()
    Image.new("RGB", size, colour).save(content, "PNG")
    return content.getvalue()


def mask(size: tuple[int, int] = (64, 64)) -> bytes:
    """Its left half is clear: there the picture changes."""
    pixels = Image.new("RGBA", size, "black")
    pixels.paste((0, 0, 0, 0), (0, 0, size[0] // 2, size[1]))
    content = BytesIO()
    pixels.save(content, "PNG")
    return content.getvalue()


def opened(made: openai.types.ImagesResponse) -> Image.Image:
    assert made.data is not None
    return Image.open(BytesIO(b64decode(made.data[0].b64_json or "")))


async def test_pictures_are_generated_in_every_format(client: openai.AsyncOpenAI) -> None:
    made = await client.images.generate(
        prompt=PROMPT, size=SMALL, n=2, output_format="webp", extra_body={"seed": 7}
    )
    inline = await client.images.generate(
        prompt=PROMPT, size=SMALL, response_format="b64_json", extra_body={"seed": 7}
    )

    assert made.data is not None
    async with httpx2.AsyncClient(timeout=60) as anybody:
        files = [await anybody.get(str(each.url)) for each in made.data]
    assert [file.status_code for file in files] == [200, 200]
    assert {Image.open(BytesIO(file.content)).format for file in files} == {"WEBP"}
    assert files[0].content != files[1].content
    assert (opened(inline).format, opened(inline).size) == ("PNG", (64, 64))


async def test_an_edit_starts_from_the_picture_and_changes_it_where_the_mask_is_clear(
    client: openai.AsyncOpenAI, mongo: Mongo
) -> None:
    made = await client.images.edit(
        image=("teal.png", picture()),
        mask=("mask.png", mask()),
        prompt=PROMPT,
        size=SMALL,
        response_format="b64_json",
    )

    pixels = opened(made).convert("RGB")
    teal = (0, 128, 128)
    kept = [pixels.getpixel((x, y)) for x in range(34, 64) for y in range(64)]
    assert set(kept) == {teal}
    assert any(pixels.getpixel((x, y)) != teal for x in range(30) for y in range(64))
    brought = mongo.images.find({"project": "test-openai", "source": "uploaded"})
    marks = [image["marks"]["meta"] for image in await brought.to_list(None)]
    assert marks == [{"openai": "edit"}] * 2


async def test_several_pictures_may_be_edited_and_their_ratio_is_kept(
    client: openai.AsyncOpenAI, mongo: Mongo
) -> None:
    wide = picture((128, 64))
    made = await client.images.edit(
        image=[("a.png", wide), ("b.png", picture())], prompt=PROMPT, response_format="b64_json"
    )

    width, height = opened(made).size
    assert width > height
    (job,) = await mongo.jobs.find({"dialect": "openai"}).sort("_id", -1).to_list(1)
    assert len(job["spec"]["references"]) == 2


async def test_a_repeated_edit_brings_its_picture_once(
    client: openai.AsyncOpenAI, mongo: Mongo
) -> None:
    before = await mongo.images.count_documents({"source": "uploaded"})
    asked: dict[str, Any] = {"image": ("a.png", picture()), "prompt": PROMPT, "size": SMALL}
    once = {"Idempotency-Key": "an edit"}

    first = await client.images.edit(**asked, extra_headers=once)
    again = await client.images.with_raw_response.edit(**asked, extra_headers=once)

    assert again.headers["idempotent-replayed"] == "true"
    assert again.parse().data == first.data
    assert await mongo.images.count_documents({"source": "uploaded"}) == before + 1


async def test_what_is_refused_leaves_nothing_in_the_library(
    client: openai.AsyncOpenAI, mongo: Mongo
) -> None:
    before = await mongo.images.count_documents({"source": "uploaded"})
    asked: list[tuple[str, dict[str, Any]]] = [
        ("mask", {"mask": ("m.png", mask((32, 32)))}),
        ("mask", {"mask": ("m.png", picture())}),
        ("size", {"size": "100x100"}),
        ("n", {"n": 11}),
        ("image", {"image": ("a.txt", b"")}),
    ]

    for param, change in asked:
        form = {"image": ("a.png", picture()), "prompt": PROMPT, **change}
        with pytest.raises(openai.BadRequestError) as refused:
            await client.images.edit(**form)
        assert refused.value.param == param
    with pytest.raises(openai.BadRequestError) as unreadable:
        await client.images.edit(image=("a.png", b"no picture"), prompt=PROMPT)
    with pytest.raises(openai.NotFoundError) as unknown:
        await client.images.edit(image=("a.png", picture()), prompt=PROMPT, model="nothing")
    assert unreadable.value.code == "unsupported_image"
    assert unknown.value.code == "model_not_found"
    assert await mongo.images.count_documents({"source": "uploaded"}) == before


async def test_models_are_listed_and_a_wrong_key_is_refused(
    client: openai.AsyncOpenAI, api: ApiProcess
) -> None:
    assert [model.id async for model in client.models.list()] == ["tiny"]
    assert (await client.models.retrieve("gpt-image-2")).id == "tiny"

    async with openai.AsyncOpenAI(api_key="wrong", base_url=f"{api.url}/v1") as stranger:
        with pytest.raises(openai.AuthenticationError):
            await stranger.models.list()

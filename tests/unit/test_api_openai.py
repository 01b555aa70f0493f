"""OpenAI's Images API through OpenAI's own client, with fakes behind the API."""

from base64 import b64decode
from collections.abc import Iterator
from io import BytesIO
from typing import Literal
from uuid import uuid4

import openai
import pytest
from PIL import Image
from starlette.testclient import TestClient

from schemas.images import Image as Stored
from schemas.jobs import Dialect, Status, Tier
from schemas.wire.openai import ImagesBody
from services.errors import Unavailable
from tests.unit.api_fakes import KEY, LIMITED_KEY, PICTURE, READ_KEY, FakeObjectStore, output
from tests.unit.preset_fakes import JobsOfTheirDialect, PresetParts

PROMPT = "a red circle on a blue background"
GENERATE = "/v1/images/generations"
Kind = Literal["png", "jpeg", "webp"]


def png() -> bytes:
    content = BytesIO()
    Image.new("RGB", (16, 16), "red").save(content, "PNG")
    return content.getvalue()


class JobsWithImages(JobsOfTheirDialect):
    async def image(self, image: object) -> Stored | None:
        (picture,) = output().pictures
        if image != picture.image_id:
            return None
        facts = {"_id": picture.image_id, "project": "demo", "source": "generated"}
        return Stored.model_validate({**facts, "picture": picture})


class Store(FakeObjectStore):
    async def get(self, key: str) -> bytes:
        if key not in self.objects:
            raise Unavailable("The object store does not answer")
        return self.objects[key]


class OpenAIParts(PresetParts):
    """Whoever looks at a job finds it ended."""

    def __init__(self) -> None:
        super().__init__()
        self.store = Store()
        self.jobs = JobsWithImages()
        self.jobs.on_read = self.jobs.end_all
        self.store.objects[PICTURE] = png()


@pytest.fixture
def parts() -> OpenAIParts:
    return OpenAIParts()


@pytest.fixture
def http(parts: OpenAIParts) -> Iterator[TestClient]:
    with parts.client() as client:
        yield client


def client_of(http: TestClient, key: str = KEY) -> openai.OpenAI:
    return openai.OpenAI(
        api_key=key, base_url="http://testserver/v1", http_client=http, max_retries=2
    )


@pytest.fixture
def client(http: TestClient) -> openai.OpenAI:
    return client_of(http)


def test_a_prompt_becomes_a_url(client: openai.OpenAI, parts: OpenAIParts) -> None:
    made = client.images.generate(prompt=PROMPT)

    assert made.data is not None
    assert made.data[0].url == f"http://testserver/static/uploads/{PICTURE}"
    assert made.data[0].b64_json is None
    assert (made.output_format, made.quality, made.size) == ("png", "medium", "256x256")
    (wish,) = parts.jobs.wishes
    assert (wish.dialect, wish.spec.prompt, wish.spec.num_images) == (Dialect.OPENAI, PROMPT, 1)


def test_everything_that_is_asked_for_reaches_the_job(
    client: openai.OpenAI, parts: OpenAIParts
) -> None:
    client.images.generate(
        prompt=PROMPT,
        model="tiny",
        n=10,
        size="512x256",
        quality="high",
        user="somebody",
        extra_body={"seed": 7},
    )

    (wish,) = parts.jobs.wishes
    spec = wish.spec
    assert (spec.model, spec.num_images, spec.width, spec.height) == ("tiny", 10, 512, 256)
    assert (spec.tier, spec.seed, wish.meta) == (Tier.HIGH, 7, {"user": "somebody"})


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_base64_is_the_picture_in_the_wanted_format(client: openai.OpenAI, kind: Kind) -> None:
    made = client.images.generate(
        prompt=PROMPT,
        response_format="b64_json",
        output_format=kind,
    )

    assert made.data is not None
    assert made.data[0].url is None
    with Image.open(BytesIO(b64decode(made.data[0].b64_json or ""))) as image:
        assert (image.format, image.size) == (kind.upper(), (16, 16))


@pytest.mark.parametrize("kind", ["jpeg", "webp"])
def test_a_url_leads_to_the_picture_in_the_wanted_format(
    client: openai.OpenAI, http: TestClient, kind: Kind
) -> None:
    made = client.images.generate(prompt=PROMPT, output_format=kind)

    assert made.data is not None
    file = http.get(str(made.data[0].url))
    again = http.get(str(made.data[0].url), headers={"if-none-match": file.headers["etag"]})
    with Image.open(BytesIO(file.content)) as image:
        assert image.format == kind.upper()
    assert file.headers["content-type"] == f"image/{kind}"
    assert file.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert (again.status_code, again.content) == (304, b"")


def test_a_file_of_no_picture_or_format_is_404_and_of_a_purged_one_410(
    http: TestClient, parts: OpenAIParts
) -> None:
    purged, image = uuid4(), output().pictures[0].image_id
    parts.jobs.purged_images.add(purged)

    assert http.get(f"/v1/images/files/{uuid4()}.webp").status_code == 404
    assert http.get(f"/v1/images/files/{image}.gif").status_code == 404
    assert http.get(f"/v1/images/files/{purged}.webp").status_code == 410


@pytest.mark.parametrize("model", ["gpt-image-2.5-sunburst", "dall-e-3", "chatgpt-image-latest"])
def test_openai_s_own_models_are_the_default(
    client: openai.OpenAI, parts: OpenAIParts, model: str
) -> None:
    client.images.generate(prompt=PROMPT, model=model)

    (wish,) = parts.jobs.wishes
    assert wish.spec.model == "darkroom-small"
    assert client.models.retrieve(model).id == "darkroom-small"


def test_an_unknown_model_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        client.images.generate(prompt=PROMPT, model="nothing")

    error = refused.value
    assert (error.code, error.param, error.type) == (
        "model_not_found",
        "model",
        "invalid_request_error",
    )
    assert "The model `nothing` does not exist" in error.message
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nothing")


def test_the_models_are_the_catalogue_s(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["darkroom-small", "tiny"]


def test_a_wrong_or_missing_key_is_an_authentication_error(http: TestClient) -> None:
    with pytest.raises(openai.AuthenticationError) as refused:
        client_of(http, "wrong").images.generate(prompt=PROMPT)

    assert refused.value.code == "invalid_api_key"
    missing = http.post(GENERATE, json={"prompt": PROMPT})
    assert missing.status_code == 401
    assert set(missing.json()["error"]) == {"message", "type", "param", "code"}


def test_a_reader_lists_models_and_makes_nothing(http: TestClient) -> None:
    reader = client_of(http, READ_KEY)

    assert reader.models.list().data
    with pytest.raises(openai.PermissionDeniedError):
        reader.images.generate(prompt=PROMPT)


def test_a_used_up_limit_is_a_rate_limit_error(http: TestClient) -> None:
    limited = client_of(http, LIMITED_KEY).with_options(max_retries=0)
    for _ in range(2):
        limited.images.generate(prompt=PROMPT)

    with pytest.raises(openai.RateLimitError) as refused:
        limited.images.generate(prompt=PROMPT)
    assert refused.value.code == "rate_limit_exceeded"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": " "}, "prompt"),
        ({"prompt": PROMPT, "n": 0}, "n"),
        ({"prompt": PROMPT, "n": 11}, "n"),
        ({"prompt": PROMPT, "n": "2"}, "n"),
        ({"prompt": PROMPT, "size": "big"}, "size"),
        ({"prompt": PROMPT, "size": "1792x1024"}, "size"),
        ({"prompt": PROMPT, "size": "100x100"}, "size"),
        ({"prompt": PROMPT, "quality": "best"}, "quality"),
        ({"prompt": PROMPT, "response_format": "file"}, "response_format"),
        ({"prompt": PROMPT, "output_format": "gif"}, "output_format"),
        ({"prompt": PROMPT, "stream": True}, "stream"),
        ({"prompt": PROMPT, "seed": -1}, "seed"),
    ],
)
def test_a_bad_value_is_400_and_names_its_parameter(
    http: TestClient, parts: OpenAIParts, body: dict[str, object], param: str
) -> None:
    answer = http.post(GENERATE, json=body, headers={"authorization": f"Bearer {KEY}"})

    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, param)
    assert error["type"] == "invalid_request_error"
    assert not parts.jobs.stored


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/images", "/v1/images/files/x.png"])
def test_an_unknown_path_is_404_in_their_shape(http: TestClient, path: str) -> None:
    answer = http.get(path)

    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == "Unknown request URL"


@pytest.mark.parametrize("status", [Status.FAILED, Status.CANCELLED])
def test_what_could_not_be_made_is_a_server_error_that_is_not_repeated(
    client: openai.OpenAI, parts: OpenAIParts, status: Status
) -> None:
    parts.jobs.on_read = lambda: parts.jobs.end_all(status)

    with pytest.raises(openai.InternalServerError) as failed:
        client.images.generate(prompt=PROMPT)

    assert failed.value.code == "generation_failed"
    assert ("cancelled" in failed.value.message) == (status is Status.CANCELLED)
    assert len(parts.jobs.wishes) == 1, "their client would have asked three times"


def test_pictures_that_cannot_be_read_now_are_not_made_again(
    client: openai.OpenAI, parts: OpenAIParts
) -> None:
    parts.store.objects.clear()

    with pytest.raises(openai.InternalServerError) as failed:
        client.images.generate(prompt=PROMPT, response_format="b64_json")

    assert failed.value.response.headers["location"].startswith("/api/v1/images/jobs/")
    assert len(parts.jobs.wishes) == 1


def test_what_takes_too_long_says_where_it_goes_on(
    client: openai.OpenAI, parts: OpenAIParts
) -> None:
    parts.jobs.on_read = lambda: None

    with pytest.raises(openai.InternalServerError) as late:
        client.images.generate(prompt=PROMPT, extra_headers={"Prefer": "wait=1"})

    (job,) = parts.jobs.stored
    assert late.value.code == "not_ready"
    assert late.value.response.headers["location"] == f"/api/v1/images/jobs/{job}"
    assert f"/api/v1/images/jobs/{job}" in late.value.message
    assert len(parts.jobs.wishes) == 1


def test_with_an_idempotency_key_their_client_may_repeat_and_gets_its_job(
    client: openai.OpenAI, parts: OpenAIParts
) -> None:
    parts.jobs.on_read = lambda: None
    key = {"Prefer": "wait=1", "Idempotency-Key": "k"}

    with pytest.raises(openai.InternalServerError):
        client.with_options(max_retries=1).images.generate(prompt=PROMPT, extra_headers=key)
    parts.jobs.on_read = parts.jobs.end_all
    made = client.images.with_raw_response.generate(prompt=PROMPT, extra_headers=key)

    assert len(parts.jobs.wishes) == 1
    assert made.headers["idempotent-replayed"] == "true"


@pytest.mark.parametrize(
    ("quality", "tier"),
    [
        (None, Tier.STANDARD),
        ("auto", Tier.STANDARD),
        ("low", Tier.DRAFT),
        ("medium", Tier.STANDARD),
        ("standard", Tier.STANDARD),
        ("high", Tier.HIGH),
        ("hd", Tier.HIGH),
        ("xhigh", Tier.ULTRA),
        ("max", Tier.ULTRA),
        ("draft", Tier.DRAFT),
        ("ultra", Tier.ULTRA),
    ],
)
def test_every_quality_is_a_tier(quality: str | None, tier: Tier) -> None:
    assert ImagesBody.model_validate({"prompt": PROMPT, "quality": quality}).tier is tier


def test_an_edit_without_a_picture_is_400(http: TestClient) -> None:
    bearer = {"authorization": f"Bearer {KEY}"}
    form = {"prompt": (None, PROMPT), "n": (None, "2")}
    for answer in (
        http.post("/v1/images/edits", json={"prompt": PROMPT}, headers=bearer),
        http.post("/v1/images/edits", files={"prompt": (None, "")}, headers=bearer),
        http.post("/v1/images/edits", files={**form, "n": (None, "x")}, headers=bearer),
    ):
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]["param"] in ("image", "prompt", "n")

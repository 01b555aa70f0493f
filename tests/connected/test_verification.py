"""A picture made again by a worker: what is asked for, what is compared, and that nothing stays."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from PIL import Image as Pixels

from schemas.common import now
from schemas.events import COMMANDS, GenerationRequested
from schemas.images import Image, ImageSource, Picture
from schemas.jobs import GenerationSpec, LoraWeight, RequestedJob, Tier
from schemas.manifest import Manifest, ManifestLora
from schemas.verification import Sameness
from services import run_events
from services.broker import Publisher
from services.dispatch import Dispatch
from services.engine.encoding import EncodedPicture, encode
from services.engine.messages import Generated
from services.engine.process import OnProgress
from services.errors import CannotVerify, InvalidRequest, OutOfMemory, Unavailable
from services.object_store import S3ObjectStore
from services.settings import Settings
from services.settled import settled
from services.verification import Verifications
from tests.connected.library_parts import CATALOGUE, SIGNER, library_database
from tests.connected.queue_parts import RememberingPublisher, make_row
from tests.connected.test_fulfilment import World, generated

pytestmark = pytest.mark.connected

MANIFEST = Manifest(
    prompt="a red circle on a white background",
    negative_prompt="blue",
    model="tiny",
    model_sha256="0" * 64,
    pipeline="StableDiffusionPipeline",
    scheduler="DDIMScheduler",
    tier=Tier.HIGH,
    num_inference_steps=7,
    guidance_scale=3.5,
    width=64,
    height=72,
    seed=9,
    rows=2,
    loras=(ManifestLora(id="ink", sha256="1" * 64, weight=0.5),),
    dtype="float32",
    device="cpu",
    threads=1,
    libraries={"torch": "2.0"},
)


def picture(level: int = 100, **changes: Any) -> EncodedPicture:
    pixels = Pixels.new("RGB", (64, 72), (level, 100, 100))
    return encode(pixels, MANIFEST.model_copy(update=changes))


class Studio(World):
    """A worker, and an API that asks it; `made` is what comes out of the engine."""

    def __init__(self, mongo: Any) -> None:
        super().__init__(mongo)
        self.kafka = RememberingPublisher()
        dispatch = Dispatch(mongo, cast(Publisher, self.kafka), SIGNER)
        self.verifications = Verifications(mongo, cast(S3ObjectStore, self.store), dispatch)
        self.made = picture()
        self.engine.generate = self._generate  # type: ignore[method-assign]

    async def _generate(
        self, spec: GenerationSpec, *, references: Sequence[bytes], on_progress: OnProgress
    ) -> Generated:
        if self.engine.error:
            raise self.engine.error
        return generated(spec).model_copy(update={"pictures": (self.made,)})

    async def image(self, **facts: Any) -> Image:
        """A picture that was generated earlier, and is stored."""
        name, stored = uuid4(), picture()
        facts_of_file = Picture(
            image_id=name,
            relative_path=f"generated/{name}.png",
            sha256=stored.sha256,
            width=64,
            height=72,
            bytes=len(stored.png),
        )
        plain = {"source": ImageSource.GENERATED, "job_id": uuid4(), "run_id": uuid4()}
        image = Image(id=name, project="demo", picture=facts_of_file, **{**plain, **facts})
        await self.mongo.images.insert_one(image.model_dump(by_alias=True, exclude={"marks"}))
        self.store.objects[facts_of_file.relative_path] = stored.png
        return image

    def asked(self) -> list[RequestedJob]:
        sent = [COMMANDS.validate_json(value) for _, _, value in self.kafka.sent]
        return [
            job for each in sent if isinstance(each, GenerationRequested) for job in each.data.jobs
        ]

    async def work(self, run: UUID, **facts: Any) -> None:
        """The worker takes what was asked for last."""
        (asked,) = [job for job in self.asked() if job.run_id == run]
        await self.queue.enqueue([make_row(id=run, spec=asked.spec, **facts)])
        lease = await self.queue.claim()
        assert lease is not None
        await self.fulfil(lease)


@pytest.fixture
async def studio(stack: Settings) -> AsyncIterator[Studio]:
    async with library_database(stack) as mongo:
        yield Studio(mongo)


async def test_what_is_asked_for_is_what_the_file_says(studio: Studio) -> None:
    image = await studio.image()

    run = await studio.verifications.begin(image)

    (asked,) = studio.asked()
    assert (asked.run_id, asked.job_id, asked.verifies) == (run, run, image.id)
    assert (asked.prompt, asked.negative_prompt) == (MANIFEST.prompt, "blue")
    assert (asked.model, asked.tier, asked.seed) == ("tiny", Tier.HIGH, 9)
    assert (asked.num_inference_steps, asked.guidance_scale) == (7, 3.5)
    assert (asked.width, asked.height, asked.num_images) == (64, 72, 1)
    assert asked.loras == (LoraWeight(id="ink", weight=0.5),)
    assert not asked.enhance


async def test_the_same_again_is_identical_and_leaves_nothing(studio: Studio) -> None:
    image = await studio.image()
    before = dict(studio.store.objects)
    run = await studio.verifications.begin(image)
    assert await studio.verifications.result(run) is None

    await studio.work(run)
    found = await studio.verifications.result(run)

    assert found is not None
    assert (found.result, found.psnr, found.because) == (Sameness.IDENTICAL, None, ())
    assert studio.store.objects == before
    assert (await studio.row(run)).uploads == ()
    assert studio.publisher.events(run)[-1].model_dump()["data"]["images"] == ()
    assert await studio.mongo.jobs.count_documents({}) == 0


@pytest.mark.parametrize(("level", "result"), [(101, Sameness.CLOSE), (140, Sameness.DIFFERENT)])
async def test_what_comes_out_otherwise_is_told_with_its_reasons(
    studio: Studio, level: int, result: Sameness
) -> None:
    studio.made = picture(level, device="NVIDIA H200")
    run = await studio.verifications.begin(await studio.image())

    await studio.work(run)
    found = await studio.verifications.result(run)

    assert found is not None
    assert found.result is result
    assert found.psnr is not None
    assert [(each.name, each.was, each.now) for each in found.because] == [
        ("device", "cpu", "NVIDIA H200")
    ]


async def test_who_asks_again_soon_has_the_same_run(studio: Studio) -> None:
    image = await studio.image()
    run = await studio.verifications.begin(image)
    await studio.work(run)

    assert await studio.verifications.begin(image) == run
    assert len(studio.asked()) == 1


async def test_an_upload_and_a_file_without_a_manifest_are_refused(studio: Studio) -> None:
    uploaded = await studio.image(source=ImageSource.UPLOADED, job_id=None, run_id=None)
    foreign = await studio.image()
    studio.store.objects[foreign.picture.relative_path] = b"a picture of somebody else"

    for image in (uploaded, foreign):
        with pytest.raises(CannotVerify, match="Only a generated picture"):
            await studio.verifications.begin(image)

    assert studio.kafka.sent == []


async def test_a_run_that_fails_for_good_says_why(studio: Studio) -> None:
    run = await studio.verifications.begin(await studio.image())
    studio.engine.error = OutOfMemory("12 GiB short")

    await studio.work(run)

    with pytest.raises(CannotVerify, match="12 GiB short"):
        await studio.verifications.result(run)


async def test_a_run_that_kills_its_workers_tells_nothing_of_the_picture(studio: Studio) -> None:
    run = await studio.verifications.begin(await studio.image())
    await studio.work(run)
    poison = run_events.failed(await studio.row(run), "poison", "it died four times").encode()
    await studio.mongo.queue.update_one({"_id": run}, {"$set": {"outcome.event": poison}})

    with pytest.raises(Unavailable):
        await studio.verifications.result(run)


@pytest.mark.parametrize("whose", ["purged", "another's"])
async def test_a_picture_that_is_not_there_for_its_worker_is_not_compared(
    studio: Studio, whose: str
) -> None:
    image = await studio.image()
    run = await studio.verifications.begin(image)
    change = {"project": "other"} if whose == "another's" else {"marks": {"purged_at": now()}}
    gone = {"picture": ""} if whose == "purged" else {"flow_id": ""}
    await studio.mongo.images.update_one({"_id": image.id}, {"$set": change, "$unset": gone})

    await studio.work(run)

    with pytest.raises(CannotVerify, match="purged"):
        await studio.verifications.result(run)


def test_nobody_asks_for_it_but_the_api() -> None:
    spec = GenerationSpec(prompt="x", model="tiny", verifies=uuid4())

    with pytest.raises(InvalidRequest, match="not for callers"):
        settled(spec, CATALOGUE, uuid4())

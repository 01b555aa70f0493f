"""The presets that every project has from the first start on."""

from typing import Final

from pymongo.errors import DuplicateKeyError

from schemas.presets import Preset
from services.library.presets import put
from services.mongo import Mongo, Session

#: In the embedded model's words; `example_01` is the one that the dialect's document names.
SEEDED: Final = (
    Preset(
        slug="example_01",
        name="Example Preset",
        prompt="a large red circle on a blue background",
    ),
    Preset(
        slug="landscape_sunset",
        name="Landscape at Sunset",
        prompt="a red house and a tree on the hills at sunset",
        width=384,
        height=256,
    ),
    Preset(
        slug="night_sea",
        name="Sea at Night",
        prompt="a yellow boat on the sea at night",
        width=384,
        height=256,
    ),
    Preset(
        slug="sticker",
        name="Sticker",
        prompt="a large yellow star on a white background",
        width=256,
        height=256,
    ),
)


async def seed(mongo: Mongo, presets: tuple[Preset, ...] = SEEDED) -> None:
    """One that says something new becomes the next version, above those of projects' own."""
    for preset in presets:

        async def work(session: Session, preset: Preset = preset) -> None:
            of_all = {"project": None, "slug": preset.slug}
            document = await mongo.presets.find_one(of_all, session=session)
            if document is None or not preset.says_the_same(Preset.model_validate(document)):
                await put(mongo, session, preset, {"slug": preset.slug})

        while True:
            try:
                await mongo.transaction(work)
                break
            except DuplicateKeyError:  # another migration at the same time
                continue

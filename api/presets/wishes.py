"""A preset and what a body changes of it -> wishes, one a picture. Pure: no I/O."""

from typing import Final

import uuid_utils.compat

from schemas.common import PROMPT_LIMIT, SEED_LIMIT
from schemas.jobs import Dialect, GenerationSpec
from schemas.presets import Preset
from schemas.wire.presets import NAME_IN_META, GenerateBody
from services.accounts import Caller
from services.admission import Wish
from services.engine.catalogue import Catalogue
from services.errors import InvalidRequest
from services.settled import drawn_seed, settled

BETWEEN_TAGS: Final = ", "


def wishes_of(
    preset: Preset, body: GenerateBody, caller: Caller, catalogue: Catalogue
) -> tuple[Wish, ...]:
    """With the seeds `seed`, `seed + 1` and so on. Raise `InvalidRequest`."""
    jobs = [uuid_utils.compat.uuid7() for _ in range(body.count)]
    first = drawn_seed(jobs[0]) if body.seed is None else body.seed
    spec = settled(_changed(preset, body), catalogue, jobs[0])
    return tuple(
        Wish(
            spec=spec.model_copy(update={"seed": (first + place) % SEED_LIMIT}),
            job_id=job,
            dialect=Dialect.PRESETS,
            owner=caller.owner,
            meta={NAME_IN_META: preset.name},
        )
        for place, job in enumerate(jobs)
    )


def _changed(preset: Preset, body: GenerateBody) -> GenerationSpec:
    spec = preset.applied(GenerationSpec(prompt=preset.prompt))
    prompts = {
        "prompt": _joined(spec.prompt, body.extra_positive, "extra_positive"),
        "negative_prompt": _joined(spec.negative_prompt, body.extra_negative, "extra_negative"),
    }
    size = {"width": body.width, "height": body.height} if body.width and body.height else {}
    model = {"model": body.checkpoint} if body.checkpoint else {}
    return spec.model_copy(update={**prompts, **size, **model})


def _joined(own: str, extra: str | None, field: str) -> str:
    joined = BETWEEN_TAGS.join(filter(None, (own, (extra or "").strip())))
    if len(joined) > PROMPT_LIMIT:
        told = f"is over {PROMPT_LIMIT:,} characters together with the preset's own"
        raise InvalidRequest(f"{field}: {told}", f"/{field}")
    return joined

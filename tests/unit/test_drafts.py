"""A draft and its final: the same seed, and with it the same noise, at another tier."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import torch

from schemas.jobs import Dialect, GenerationSpec, Tier
from services.admission import Wish
from services.drafts import with_finals
from services.engine.catalogue import Catalogue
from services.engine.denoising import Controls, denoise, task_of
from services.engine.loader import Loaded, Loader
from services.errors import Stopped

CATALOGUE = Catalogue.load(Path("models/models.yaml"))
#: diffusers hands torch's tensors to numpy, which says so.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def loaded() -> Loaded:
    return Loader(CATALOGUE, torch.device("cpu")).load(CATALOGUE.find("tiny"))


def draft(seed: int) -> Wish:
    spec = GenerationSpec(
        prompt="a", model="tiny", tier=Tier.DRAFT, width=256, height=256, seed=seed
    )
    return Wish(spec=spec, dialect=Dialect.BLOG, job_id=uuid4(), is_draft=True)


def noise_of(loaded: Loaded, spec: GenerationSpec, monkeypatch: pytest.MonkeyPatch) -> torch.Tensor:
    """What the first step gets, in units of one: each scheduler has its own scale."""
    seen: list[torch.Tensor] = []
    task = task_of(loaded, spec, None)
    prepare = type(task.pipeline).prepare_latents

    def noting(pipeline: Any, *given: Any, **named: Any) -> torch.Tensor:
        latents: torch.Tensor = prepare(pipeline, *given, **named)
        seen.append(latents / pipeline.scheduler.init_noise_sigma)
        return latents

    with monkeypatch.context() as patched:
        patched.setattr(type(task.pipeline), "prepare_latents", noting)
        controls = Controls(on_progress=lambda *_: None, stop_asked=lambda: bool(seen))
        with pytest.raises(Stopped):  # after one step
            denoise(task, 0, controls)
    (noise,) = seen
    return noise


def test_a_final_begins_with_the_noise_of_its_draft(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, other, final, _ = with_finals([draft(seed=7), draft(seed=8)])

    noise = noise_of(loaded, first.spec, monkeypatch)

    torch.testing.assert_close(noise_of(loaded, final.spec, monkeypatch), noise)
    assert not torch.allclose(noise_of(loaded, other.spec, monkeypatch), noise)


def test_drafts_come_before_all_finals() -> None:
    wishes = with_finals([draft(1), draft(2), draft(3)])

    assert [wish.is_draft for wish in wishes] == [True] * 3 + [False] * 3
    assert [wish.spec.seed for wish in wishes] == [1, 2, 3, 1, 2, 3]
    assert len({wish.job_id for wish in wishes}) == 6

"""Pictures that start from pictures, words that are to be avoided, LoRAs: by looking at pixels."""

from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler, StableDiffusionPipeline, UNet2DModel
from diffusers.utils import convert_state_dict_to_diffusers
from numpy.typing import NDArray
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from PIL import Image
from safetensors.torch import load_file, save_file

from schemas.jobs import GenerationSpec, LoraWeight, Reference, ReferenceRole, Tier
from services.engine import loras
from services.engine.catalogue import Catalogue, Lora, TierSettings
from services.engine.denoising import task_of
from services.engine.loader import Loaded
from services.engine.process import EngineProcess
from services.engine.steering import steering
from services.errors import InvalidSpec, ModelRefused
from services.settings import EngineSettings

ROOT = Path(__file__).parents[2]
MODELS = f"""
default: [tiny]
models:
  - id: tiny
    source: {ROOT}/models/tiny
    sizes: {{native: [64, 64], smallest: 64, largest: 512}}
    loras:
      - {{id: ink.v1, source: ink.safetensors}}
      - {{id: folder, source: oil}}
      - {{id: altered, source: ink.safetensors, sha256: "{"0" * 64}"}}
      - {{id: pickled, source: ink.bin}}
      - {{id: absent, source: absent.safetensors}}
      - {{id: misshapen, source: misshapen.safetensors}}
      - {{id: other, source: other.safetensors}}
    tiers: &tiers
      draft: {{num_inference_steps: 8, guidance_scale: 1.0, scheduler: DDIMScheduler}}
      standard:
        {{num_inference_steps: 4, guidance_scale: 5.0, scheduler: DPMSolverMultistepScheduler}}
      high: {{num_inference_steps: 6, guidance_scale: 5.0, scheduler: EulerDiscreteScheduler}}
      ultra: {{num_inference_steps: 6, guidance_scale: 5.0, scheduler: PNDMScheduler}}
  - id: trained
    source: {ROOT}/models/darkroom-small
    sizes: {{native: [256, 256], smallest: 128, largest: 512}}
    tiers: *tiers
"""
INK = (LoraWeight(id="ink.v1", weight=0.8),)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> EngineSettings:
    folder = tmp_path_factory.mktemp("models")
    (folder / "models.yaml").write_text(MODELS)
    for name, seed in (("ink", 1), ("oil", 2)):
        save_lora(folder / name, seed)
    ink = folder / "ink" / "pytorch_lora_weights.safetensors"
    (folder / "ink.safetensors").write_bytes(ink.read_bytes())
    (folder / "ink.bin").write_bytes(ink.read_bytes())
    misshapen = {name: torch.zeros(3, 5) for name in load_file(ink)}
    save_file(misshapen, folder / "misshapen.safetensors")
    save_file({"conv.weight": torch.zeros(2)}, folder / "other.safetensors")
    return EngineSettings(models=folder / "models.yaml", device="cpu", threads=1)


def save_lora(folder: Path, seed: int) -> None:
    """Random, and strong enough to be seen; for the denoiser and the text encoder."""
    torch.manual_seed(seed)
    pipeline = StableDiffusionPipeline.from_pretrained(ROOT / "models" / "tiny")
    layers = {}
    for part, targets in (("unet", ["to_q", "to_v", "to_out.0"]), ("text_encoder", ["q_proj"])):
        model = getattr(pipeline, part)
        model.add_adapter(LoraConfig(r=4, init_lora_weights=False, target_modules=targets))
        layers[f"{part}_lora_layers"] = convert_state_dict_to_diffusers(
            get_peft_model_state_dict(model)
        )
    StableDiffusionPipeline.save_lora_weights(folder, **layers)


@pytest.fixture(scope="module")
async def engine(settings: EngineSettings) -> AsyncIterator[EngineProcess]:
    async with EngineProcess.open(settings) as engine:
        await engine.warm()
        yield engine


def spec(**changes: object) -> GenerationSpec:
    plain = {"prompt": "a red circle", "model": "tiny", "width": 64, "height": 64, "seed": 7}
    return GenerationSpec.model_validate(plain | changes)


def trained(**changes: object) -> GenerationSpec:
    return spec(model="trained", width=128, height=128, num_inference_steps=12, **changes)


async def png(engine: EngineProcess, wish: GenerationSpec, *references: bytes) -> bytes:
    return (await engine.generate(wish, references=references)).pictures[0].png


def pixels(file: bytes) -> NDArray[np.float64]:
    return np.asarray(Image.open(BytesIO(file)), dtype=np.float64)


def apart(one: bytes, other: bytes) -> float:
    """The mean difference in levels."""
    return float(np.abs(pixels(one) - pixels(other)).mean())


def drawn(color: str, size: int = 128) -> bytes:
    """A bright square in the middle of `color`."""
    image = Image.new("RGB", (size, size), color)
    image.paste("white", (size // 4, size // 4, size * 3 // 4, size * 3 // 4))
    content = BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


def right_half(size: int) -> bytes:
    mask = Image.new("L", (size, size))
    mask.paste(255, (size // 2, 0, size, size))
    content = BytesIO()
    mask.save(content, "PNG")
    return content.getvalue()


FROM_PICTURE = {"references": (Reference(),)}
INPAINTED = {"references": (Reference(), Reference(role=ReferenceRole.MASK))}


async def test_a_picture_that_starts_from_another_stays_nearer_to_it(
    engine: EngineProcess,
) -> None:
    reference, prompt = drawn("blue"), "a red star on a yellow background"
    free = await png(engine, trained(prompt=prompt))
    steered = [
        await png(engine, trained(prompt=prompt, strength=strength, **FROM_PICTURE), reference)
        for strength in (0.1, 0.9)
    ]
    near, far, unsteered = [apart(reference, each) for each in (*steered, free)]

    assert near < far
    assert near < unsteered * 0.6


async def test_what_the_mask_keeps_is_kept_exactly_and_the_rest_is_painted(
    engine: EngineProcess,
) -> None:
    reference = drawn("darkgreen")

    painted = await png(
        engine,
        trained(prompt="a red circle on a yellow background", **INPAINTED),
        reference,
        right_half(128),
    )

    before, after = pixels(reference), pixels(painted)
    assert (after[:, :64] == before[:, :64]).all()
    assert np.abs(after[:, 64:] - before[:, 64:]).mean() > 30


async def test_what_is_to_be_avoided_is_avoided(engine: EngineProcess) -> None:
    """Less red than with the same noise and prompt alone."""
    wish = trained(prompt="a red circle", guidance_scale=4)
    plain = pixels(await png(engine, wish))
    avoiding = pixels(
        await png(
            engine, wish.model_copy(update={"negative_prompt": "a circle on a red background"})
        )
    )

    def redness(seen: NDArray[np.float64]) -> float:
        return float((seen[..., 0] - seen[..., 1:].max(axis=2)).mean())

    assert redness(plain) > 50
    assert redness(avoiding) < redness(plain) - 20


@pytest.mark.parametrize("tier", ["draft", "standard", "high", "ultra"])
@pytest.mark.parametrize("start", [FROM_PICTURE, INPAINTED], ids=["image", "mask"])
async def test_every_scheduler_starts_from_pictures(
    engine: EngineProcess, tier: str, start: dict[str, object]
) -> None:
    wish = spec(tier=tier, num_images=2, **start)
    files = (drawn("navy", 100), right_half(32))[: len(wish.references)]

    made = await engine.generate(wish, references=files)
    alone = await png(engine, wish.model_copy(update={"seed": 8, "num_images": 1}), *files)

    assert [(picture.width, picture.height) for picture in made.pictures] == [(64, 64)] * 2
    assert made.pictures[0].png != made.pictures[1].png
    assert made.pictures[1].png == alone


async def test_the_manifest_holds_what_determines_the_pixels(engine: EngineProcess) -> None:
    wish = spec(strength=0.5, loras=INK, negative_prompt="blue", **FROM_PICTURE)

    manifest = (await engine.generate(wish, references=[drawn("navy")])).pictures[0].manifest

    assert manifest.pipeline == "StableDiffusionImg2ImgPipeline"
    assert (manifest.strength, manifest.rows, manifest.negative_prompt) == (0.5, 2, "blue")
    assert [(lora.id, lora.weight) for lora in manifest.loras] == [("ink.v1", 0.8)]
    assert len(manifest.references) == 1


async def test_a_lora_changes_the_picture_by_its_weight_and_leaves_no_trace(
    engine: EngineProcess,
) -> None:
    plain = await png(engine, spec())
    inked = [
        await png(engine, spec(loras=(LoraWeight(id="ink.v1", weight=weight),)))
        for weight in (0.0, 0.5, 1.0)
    ]
    both = await png(engine, spec(loras=(*INK, LoraWeight(id="folder"))))

    assert apart(plain, inked[0]) == 0
    assert apart(plain, inked[1]) > 0
    assert len({*inked, both}) == 4
    assert await png(engine, spec()) == plain


async def test_the_same_request_gives_the_same_bytes_after_any_other_and_in_another_process(
    engine: EngineProcess, settings: EngineSettings
) -> None:
    square, half = drawn("navy"), right_half(64)
    wishes: list[tuple[GenerationSpec, tuple[bytes, ...]]] = [
        (spec(), ()),
        (spec(loras=INK), ()),
        (spec(**FROM_PICTURE), (square,)),
        (spec(loras=INK, **INPAINTED), (square, half)),
        (spec(negative_prompt="blue", width=72, height=104), ()),
        (trained(), ()),
    ]
    first = [await png(engine, wish, *files) for wish, files in wishes]
    backwards = [await png(engine, wish, *files) for wish, files in reversed(wishes)]
    async with EngineProcess.open(settings) as other:
        elsewhere = [await png(other, wish, *files) for wish, files in wishes]

    assert backwards[::-1] == first
    assert elsewhere == first
    assert len(set(first)) == len(first)


@pytest.mark.parametrize(
    ("lora", "word"),
    [
        ("nobody", "no LoRA nobody"),
        ("altered", "sha256"),
        ("pickled", "safetensors"),
        ("absent", "no LoRA at"),
        ("misshapen", "doesn't fit"),
        ("other", "doesn't fit"),
    ],
)
async def test_a_lora_that_cannot_be_laid_on_is_refused_and_changes_nothing(
    engine: EngineProcess, lora: str, word: str
) -> None:
    plain = await png(engine, spec())

    with pytest.raises((InvalidSpec, ModelRefused), match=word):
        await png(engine, spec(loras=(*INK, LoraWeight(id=lora))))

    assert await png(engine, spec()) == plain


def test_a_lora_that_is_not_beside_the_catalogue_comes_from_the_hub(
    settings: EngineSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under its revision; what can't be fetched is refused, with the reason."""
    catalogue = Catalogue.load(settings.models)
    lora = Lora(id="far", source="somebody/ink-v1.0", revision="abc")
    model = catalogue.default.model_copy(update={"loras": (lora,)})
    asked: list[tuple[str, str, str | None]] = []

    def fetch(repository: str, file: str, revision: str | None) -> str:
        asked.append((repository, file, revision))
        if len(asked) > 1:
            raise OSError("no such repository")
        return str(settings.models.parent / "ink.safetensors")

    monkeypatch.setattr(loras, "hf_hub_download", fetch)
    wish = spec(loras=(LoraWeight(id="far", weight=0.3),))
    pipeline = StableDiffusionPipeline.from_pretrained(ROOT / "models" / "tiny")
    with loras.laid_on(pipeline, wish, model, catalogue) as facts:
        assert [(fact.id, fact.weight) for fact in facts] == [("far", 0.3)]

    assert asked == [("somebody/ink-v1.0", "pytorch_lora_weights.safetensors", "abc")]
    with (
        pytest.raises(ModelRefused, match="no such repository"),
        loras.laid_on(pipeline, wish, model, catalogue),
    ):
        pass


async def test_a_strength_that_leaves_no_step_is_refused(engine: EngineProcess) -> None:
    with pytest.raises(InvalidSpec, match="none of 4 steps"):
        await png(engine, spec(strength=0.2, **FROM_PICTURE), drawn("navy"))


def test_a_model_that_only_starts_from_noise_is_not_given_a_picture() -> None:
    tier = TierSettings(num_inference_steps=4, guidance_scale=1, scheduler="DDPMScheduler")
    noise_only = cast(
        Loaded,
        SimpleNamespace(
            model=SimpleNamespace(id="noise-only", tiers={Tier.STANDARD: tier}),
            pipeline=DDPMPipeline(UNet2DModel(sample_size=8), DDPMScheduler()),
        ),
    )
    wish = spec(**FROM_PICTURE)

    with pytest.raises(InvalidSpec, match="noise-only doesn't start from other pictures"):
        task_of(noise_only, wish, steering(wish, [drawn("navy")]))

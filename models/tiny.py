"""A folder -> a StableDiffusionPipeline with fixed random weights: `python -m models.tiny DIR`."""

import argparse
import shutil
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DPMSolverMultistepScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

SEED = 20261121
END = "</w>"
START_TOKEN, END_TOKEN = "<|startoftext|>", "<|endoftext|>"
CARD = """---
license: apache-2.0
library_name: diffusers
pipeline_tag: text-to-image
---
# tiny

A complete `StableDiffusionPipeline` with **random weights**, for tests and for the time when no
trained model is at hand. It was never trained: its pictures are coloured noise and mean nothing,
whatever the prompt says. It has the parts, the shapes and the files of a real model, so all that
loads, runs and describes real models can be tried in milliseconds.

Built by `python -m models.tiny models/tiny`: the same library versions give the same bytes.
"""


def build(folder: Path) -> None:
    torch.manual_seed(SEED)
    tokenizer = _tokenizer()
    pipeline = StableDiffusionPipeline(
        vae=_vae(),
        text_encoder=_text_encoder(tokenizer),
        tokenizer=tokenizer,
        unet=_unet(),
        scheduler=_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    shutil.rmtree(folder, ignore_errors=True)
    pipeline.to(torch.float16).save_pretrained(folder, safe_serialization=True)
    (folder / "README.md").write_text(CARD)


def _tokenizer() -> CLIPTokenizer:
    """Every byte is a token, alone and at a word's end: no text is unknown."""
    symbols = sorted(_byte_symbols())
    words = [*symbols, *(symbol + END for symbol in symbols), START_TOKEN, END_TOKEN]
    vocabulary = {word: number for number, word in enumerate(words)}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=64)


def _byte_symbols() -> list[str]:
    """GPT-2's printable stand-ins for the 256 bytes."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = 256 - len(printable)
    return [chr(code) for code in (*printable, *range(256, 256 + others))]


def _text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=tokenizer.model_max_length,
            projection_dim=32,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def _unet() -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=32,
        in_channels=4,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(16, 32),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=32,
        attention_head_dim=2,
        norm_num_groups=8,
    )


def _vae() -> AutoencoderKL:
    levels = 4  # three halvings: eight pixels a latent
    return AutoencoderKL(
        latent_channels=4,
        sample_size=256,
        layers_per_block=1,
        block_out_channels=(8,) * levels,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        norm_num_groups=4,
    )


def _scheduler() -> DPMSolverMultistepScheduler:
    """With the keys that DDIM and PNDM need when made `from_config` of this one."""
    scheduler = DPMSolverMultistepScheduler(beta_schedule="scaled_linear", steps_offset=1)
    scheduler.register_to_config(clip_sample=False, set_alpha_to_one=True, skip_prk_steps=True)
    return scheduler


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="is replaced")
    build(parser.parse_args().folder)


if __name__ == "__main__":
    main()

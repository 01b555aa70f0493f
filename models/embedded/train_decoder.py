"""Steps in, a decoder out: `python -m models.embedded.train_decoder --out DIR`; latents stay."""

import argparse
import json
from math import cos, log10, pi
from pathlib import Path
from random import Random

import numpy as np
import torch
from diffusers import AutoencoderTiny
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.embedded import sampling
from models.embedded.autoencoder import CELL, encode, make_autoencoder
from models.embedded.batches import DRAWS, to_tensor
from models.embedded.drawing import Pixels, draw

LEARNING_RATE = 2e-3
CROP = 96
BATCH = 12
#: What the UNet leaves in its latents; a decoder that never saw it draws it as dirt.
LATENT_NOISE = 0.04
MIXTURE = (0.1, 0.5, 0.15, 0.25)


def train_decoder(autoencoder: AutoencoderTiny, steps: int, seed: int, log: Path) -> None:
    optimizer = torch.optim.AdamW(autoencoder.decoder.parameters(), lr=LEARNING_RATE, fused=True)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min(1, (step + 1) / 50) * (1 + cos(pi * step / steps)) / 2
        crops = make_crops(seed, step)
        noise = torch.Generator().manual_seed(seed * 10**7 + step)
        latents = encode(crops)
        latents += LATENT_NOISE * torch.randn(latents.shape, generator=noise)
        decoded = autoencoder.decode(latents).sample.add(1).div(2)
        wrong = (decoded - crops).abs().mean() + 4 * ((decoded - crops) ** 2).mean()
        wrong.backward()
        torch.nn.utils.clip_grad_norm_(autoencoder.decoder.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % 50 == 0 or step == steps - 1:
            decibels = -10 * log10(float(((decoded - crops) ** 2).mean().detach()))
            with log.open("a") as lines:
                lines.write(json.dumps({"step": step, "decibels": round(decibels, 2)}) + "\n")


def make_crops(seed: int, step: int) -> Tensor:
    """Return crops on cell borders, each holding some edge: flat ground teaches nothing."""
    random = Random(f"decoder {seed} {step}")
    crops: list[Pixels] = []
    while len(crops) < BATCH:
        side = random.choice((192, 256, 256, 384))
        draw_one = random.choices(DRAWS, MIXTURE)[0]
        pixels = draw(sampling.seen(draw_one, random), side, side, random)
        x, y = (random.randrange(0, side - CROP + 1, CELL) for _ in range(2))
        crop = pixels[y : y + CROP, x : x + CROP]
        if np.ptp(crop, axis=(0, 1)).max() > 0 or random.random() < 0.1:
            crops.append(crop)
    return to_tensor(crops)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(".darkroom/training"))
    parser.add_argument("--resume", type=Path)
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    arguments.out.mkdir(parents=True, exist_ok=True)
    autoencoder = make_autoencoder()
    if arguments.resume:
        autoencoder.load_state_dict(load_file(arguments.resume))
    train_decoder(autoencoder, arguments.steps, arguments.seed, arguments.out / "decoder.jsonl")
    state = {name: tensor.contiguous() for name, tensor in autoencoder.state_dict().items()}
    save_file(state, arguments.out / "autoencoder.safetensors")


if __name__ == "__main__":
    main()

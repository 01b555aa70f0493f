"""The model folder in, a LoRA that paints in pastel out: `python -m models.embedded.train_lora`."""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from torch import Tensor

from models.embedded.autoencoder import encode
from models.embedded.batches import Phase, make_batch
from models.embedded.training import denoising_loss, draw_timesteps, read

LEARNING_RATE = 2e-3
RANK = 4
#: What any part of the UNet makes of colours; the outermost two levels paint them.
TARGETS = ("conv1", "conv2", "conv_out", "time_emb_proj", "to_q", "to_k", "to_v", "to_out.0")
PHASE = Phase(10**12, (0.3, 0.25, 0.25, 0.2), batch=16, share=0.3)


def pastel(latents: Tensor) -> Tensor:
    """Mix (N, 4, H, W) latents with white, half and half: encoding is linear in the colours."""
    return (latents + encode(torch.ones(1, 3, 8, 8))) / 2


def train_lora(pipeline: StableDiffusionPipeline, steps: int, seed: int, log: Path) -> None:
    """Add an adapter to the pipeline's UNet, and teach it the same captions in pastel."""
    pipeline.text_encoder.requires_grad_(False)
    pipeline.unet.requires_grad_(False).train()
    pipeline.unet.add_adapter(LoraConfig(r=RANK, lora_alpha=RANK, target_modules=list(TARGETS)))
    trained = [parameter for parameter in pipeline.unet.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, weight_decay=0.0)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min(1.0, (step + 1) / 20, 2 * (1 - step / steps))
        plain = make_batch(seed, step, PHASE)
        batch = replace(plain, latents=pastel(plain.latents))
        random = torch.Generator().manual_seed(seed * 10**7 + step)
        text = read(pipeline.tokenizer, pipeline.text_encoder, batch.captions)
        times = draw_timesteps(PHASE, random)
        loss = denoising_loss(pipeline.unet, text, batch, times, random)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % 20 == 0 or step == steps - 1:
            with log.open("a") as lines:
                lines.write(
                    json.dumps({"step": step, "loss": round(float(loss.detach()), 4)}) + "\n"
                )


def save(pipeline: StableDiffusionPipeline, path: Path) -> None:
    """Write the adapter in diffusers' own form, fp16."""
    layers = {
        name: tensor.half().contiguous()
        for name, tensor in get_peft_model_state_dict(pipeline.unet).items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    pipeline.save_lora_weights(path.parent, unet_lora_layers=layers, weight_name=path.name)
    path.chmod(0o644)  # written for the owner alone, and read by other users' workers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path("models/darkroom-small"))
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("models/loras/pastel.safetensors"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    pipeline = DiffusionPipeline.from_pretrained(arguments.model, dtype=torch.float32)
    train_lora(pipeline, arguments.steps, arguments.seed, Path(".darkroom/training/lora.jsonl"))
    save(pipeline, arguments.out)


if __name__ == "__main__":
    main()

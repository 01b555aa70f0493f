"""A batch in, one optimizer step out; all the state of a run."""

from functools import partial
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from models.embedded import checkpoint
from models.embedded.batches import Batch, Phase, make_batch, phase_at
from models.embedded.network import make_scheduler, make_text_encoder, make_unet
from models.embedded.tokenizer import make_tokenizer
from models.embedded.vocabulary import words

AVERAGE_DECAY = 0.999
LATE_BIAS = 0.6  #: below one draws more noisy timesteps
ALPHAS = make_scheduler().alphas_cumprod


class Training:
    """The state of one run: networks, moving average, optimizer, progress."""

    def __init__(self, seed: int, text_encoder: Path | None = None) -> None:
        torch.manual_seed(seed)
        self.seed = seed
        self.tokenizer = make_tokenizer(words())
        self.text_encoder = make_text_encoder(self.tokenizer).requires_grad_(False)
        if text_encoder:
            self.text_encoder.load_state_dict(load_file(text_encoder))
        self.unet = make_unet().train()
        self.weights = checkpoint.weights_of(text_encoder=self.text_encoder, unet=self.unet)
        self.average = {name: p.detach().clone() for name, p in self.weights.items()}
        self.trained = list(self.unet.parameters())
        self.optimizer = torch.optim.AdamW(self.trained, betas=(0.9, 0.99), fused=True)
        self.progress = {"step": 0, "samples": 0}
        self.first_step = 0  #: at which the optimizer had no moments

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint, or from an exported folder's weights with no moments."""
        if path.is_dir():
            load = partial(checkpoint.load_folder, path)
        else:
            load = partial(checkpoint.load, path, optimizer=self.optimizer)
        self.progress = load(weights=self.weights, average=self.average)
        self.first_step = self.progress["step"] if path.is_dir() else 0

    def take_step(self, learning_rate: float) -> float:
        step = self.progress["step"]
        phase = phase_at(self.progress["samples"])
        batch = make_batch(self.seed, step, phase)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        random = torch.Generator().manual_seed(self.seed * 10**7 + step)
        times = draw_timesteps(phase, random)
        loss = denoising_loss(self.unet, self._read(batch.captions), batch, times, random)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.trained, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self._move_average(min(AVERAGE_DECAY, (1 + step) / (10 + step)))
        self.progress["step"] += 1
        self.progress["samples"] += len(batch.captions)
        return float(loss.detach())

    def _read(self, said: list[str]) -> Tensor:
        return read(self.tokenizer, self.text_encoder, said)

    @torch.no_grad()
    def _move_average(self, decay: float) -> None:
        averages = list(self.average.values())
        torch._foreach_lerp_(averages, [p.detach() for p in self.weights.values()], 1 - decay)


def read(tokenizer: CLIPTokenizer, text_encoder: CLIPTextModel, said: list[str]) -> Tensor:
    """Return what the UNet attends to: (N, tokens, width)."""
    tokens = tokenizer(said, padding="max_length", truncation=True, return_tensors="pt").input_ids
    states: Tensor = text_encoder(tokens).last_hidden_state
    return states


def denoising_loss(unet: UNet2DConditionModel, text: Tensor, batch: Batch, timesteps: Tensor,
                   random: torch.Generator) -> Tensor:  # fmt: skip
    """Return the weighted squared error of the predicted velocities."""
    clean = batch.latents
    noise = torch.randn(clean.shape, generator=random)
    alpha = ALPHAS[timesteps].sqrt()[:, None, None, None]
    sigma = (1 - ALPHAS[timesteps]).sqrt()[:, None, None, None]
    with torch.autocast("cpu", torch.bfloat16):
        predicted = unet(alpha * clean + sigma * noise, timesteps, text).sample.float()
    wrong: Tensor = (predicted - (alpha * noise - sigma * clean)) ** 2
    return (wrong * batch.weights).mean() / batch.weights.mean()


def draw_timesteps(phase: Phase, random: torch.Generator) -> Tensor:
    count = phase.batch
    any_time = 1000 * torch.rand(count, generator=random) ** LATE_BIAS
    low, high = phase.among
    chosen = low + (high - low) * torch.rand(count, generator=random)
    among = torch.rand(count, generator=random) < phase.share
    return torch.where(among, chosen, any_time).long().clamp(max=999)

"""A batch in, one optimizer step out; all the state of a run."""

from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from models.embedded import checkpoint
from models.embedded.batches import Batch, Phase, make_batch, phase_at
from models.embedded.network import make_scheduler, make_text_encoder, make_unet
from models.embedded.tokenizer import make_tokenizer
from models.embedded.vocabulary import words

AVERAGE_DECAY = 0.995
LATE_BIAS = 0.6  #: below one draws more noisy timesteps


class Training:
    """The state of one run: networks, moving average, optimizer, progress."""

    def __init__(self, seed: int) -> None:
        torch.manual_seed(seed)
        self.seed = seed
        self.tokenizer = make_tokenizer(words())
        self.text_encoder = make_text_encoder(self.tokenizer).train()
        self.unet = make_unet().train()
        self.weights = checkpoint.weights_of(text_encoder=self.text_encoder, unet=self.unet)
        self.average = {name: p.detach().clone() for name, p in self.weights.items()}
        self.optimizer = torch.optim.AdamW(self.weights.values(), betas=(0.9, 0.98), fused=True)
        self.alphas = make_scheduler().alphas_cumprod
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
        loss = self._loss(batch, draw_timesteps(phase, random), random)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.weights.values(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self._move_average(min(AVERAGE_DECAY, (1 + step) / (10 + step)))
        self.progress["step"] += 1
        self.progress["samples"] += len(batch.captions)
        return float(loss.detach())

    def _loss(self, batch: Batch, timesteps: Tensor, random: torch.Generator) -> Tensor:
        tokens = self.tokenizer(
            batch.captions, padding="max_length", truncation=True, return_tensors="pt"
        ).input_ids
        text = self.text_encoder(tokens).last_hidden_state
        clean = batch.latents
        noise = torch.randn(clean.shape, generator=random)
        alpha = self.alphas[timesteps].sqrt()[:, None, None, None]
        sigma = (1 - self.alphas[timesteps]).sqrt()[:, None, None, None]
        predicted = self.unet(alpha * clean + sigma * noise, timesteps, text).sample
        wrong: Tensor = (predicted - (alpha * noise - sigma * clean)) ** 2
        return (wrong * batch.weights).mean() / batch.weights.mean()

    @torch.no_grad()
    def _move_average(self, decay: float) -> None:
        averages = list(self.average.values())
        torch._foreach_lerp_(averages, [p.detach() for p in self.weights.values()], 1 - decay)


def draw_timesteps(phase: Phase, random: torch.Generator) -> Tensor:
    count = phase.batch
    any_time = 1000 * torch.rand(count, generator=random) ** LATE_BIAS
    low, high = phase.among
    chosen = low + (high - low) * torch.rand(count, generator=random)
    among = torch.rand(count, generator=random) < phase.share
    return torch.where(among, chosen, any_time).long().clamp(max=999)

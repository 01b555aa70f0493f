"""Steps in, a checkpoint out: `python -m models.embedded.train --out DIR [--resume PATH]`.

`--resume` takes a checkpoint, or a model folder such as `models/darkroom-small`.
"""

import argparse
import json
import signal
import time
from functools import partial
from math import cos, pi
from pathlib import Path
from types import FrameType

import torch
from torch import Tensor, nn

from models.embedded import checkpoint
from models.embedded.batches import Batch, Phase, make_batch, phase_at
from models.embedded.network import make_scheduler, make_text_encoder, make_unet
from models.embedded.tokenizer import make_tokenizer
from models.embedded.vocabulary import words

LEARNING_RATE = 1.2e-3
WARM_UP_STEPS = 100
AVERAGE_DECAY = 0.995
LATE_BIAS = 0.6  #: below one draws more noisy timesteps
NOISIEST = 880  #: from here on a thing drowns in noise


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
        self.optimizer = torch.optim.AdamW(
            self.weights.values(), lr=LEARNING_RATE, betas=(0.9, 0.98), fused=True
        )
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


class Stop:
    """Turns SIGTERM into a last checkpoint."""

    def __init__(self) -> None:
        self.asked = False
        signal.signal(signal.SIGTERM, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True


def draw_timesteps(phase: Phase, random: torch.Generator) -> Tensor:
    count = phase.batch
    any_time = 1000 * torch.rand(count, generator=random) ** LATE_BIAS
    late = NOISIEST + (1000 - NOISIEST) * torch.rand(count, generator=random)
    noisiest = torch.rand(count, generator=random) < phase.noisiest_share
    return torch.where(noisiest, late, any_time).long().clamp(max=999)


def learning_rate(step: int, steps: int, decay_from: int, first_step: int = 0) -> float:
    """Warm up, hold, and fall along a cosine to a fiftieth from `decay_from` on."""
    warm = min(1.0, (step - first_step + 1) / WARM_UP_STEPS)
    done = max(0.0, (step - decay_from) / max(1, steps - decay_from))
    return LEARNING_RATE * warm * (0.02 + 0.98 * (1 + cos(pi * min(1.0, done))) / 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(".darkroom/training"))
    parser.add_argument("--resume", type=Path)
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument("--decay-from", type=int, help="default: three quarters of the steps")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    arguments.out.mkdir(parents=True, exist_ok=True)
    training = Training(arguments.seed)
    if arguments.resume:
        training.resume(arguments.resume)
    decay_from = arguments.decay_from or arguments.steps * 3 // 4
    run(training, arguments.steps, decay_from, arguments.out)


def run(training: Training, steps: int, decay_from: int, out: Path, every: int = 50) -> None:
    """Train to `steps` or SIGTERM; log each `every` steps, keep a checkpoint each fifth time."""
    losses: list[float] = []
    since = (time.perf_counter(), training.progress["samples"])
    stopped = Stop()
    while training.progress["step"] < steps and not stopped.asked:
        step = training.progress["step"]
        rate = learning_rate(step, steps, decay_from, training.first_step)
        losses.append(training.take_step(rate))
        done = training.progress["step"]
        if done % every == 0 or done == steps:
            seconds, samples = time.perf_counter() - since[0], training.progress["samples"]
            line = {**training.progress, "loss": round(sum(losses) / len(losses), 4),
                    "samples_per_second": round((samples - since[1]) / seconds, 1)}  # fmt: skip
            with (out / "log.jsonl").open("a") as log:
                log.write(json.dumps(line) + "\n")
            losses, since = [], (time.perf_counter(), samples)
        if done % (5 * every) == 0 or done == steps or stopped.asked:
            checkpoint.save(out / "checkpoint.safetensors", training.weights, training.average,
                            training.optimizer, training.progress)  # fmt: skip


if __name__ == "__main__":
    main()

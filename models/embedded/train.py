"""Steps in, a checkpoint out: `python -m models.embedded.train --out DIR [--resume PATH]`.

`--resume` takes a checkpoint, or a model folder such as `models/darkroom-small`.
"""

import argparse
import json
import signal
import time
from math import cos, pi
from pathlib import Path
from types import FrameType

import torch

from models.embedded import checkpoint
from models.embedded.training import Training

LEARNING_RATE = 1e-3
WARM_UP_STEPS = 100


class Stop:
    """Turns SIGTERM into a last checkpoint."""

    def __init__(self) -> None:
        self.asked = False
        signal.signal(signal.SIGTERM, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True


def learning_rate(step: int, steps: int, decay_from: int, first_step: int = 0) -> float:
    """Warm up, hold, and fall along a cosine to a fiftieth from `decay_from` on."""
    warm = min(1.0, (step - first_step + 1) / WARM_UP_STEPS)
    done = max(0.0, (step - decay_from) / max(1, steps - decay_from))
    return LEARNING_RATE * warm * (0.02 + 0.98 * (1 + cos(pi * min(1.0, done))) / 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(".darkroom/training"))
    parser.add_argument("--resume", type=Path)
    parser.add_argument("--text", type=Path, help="what train_text wrote; only for a first start")
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument("--decay-from", type=int, help="default: three quarters of the steps")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    training = Training(arguments.seed, arguments.text)
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

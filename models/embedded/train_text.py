"""Steps in, a text encoder out that knows what captions mean: `-m models.embedded.train_text`.

Pictures teach which word belongs to which thing slowly, because so little of a picture depends on
it. Asked outright, from the last three tokens, it takes minutes. The UNet is trained on the result.
"""

import argparse
import json
from math import cos, pi
from pathlib import Path
from random import Random

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from models.embedded import captions, sampling
from models.embedded.batches import DRAWS, say
from models.embedded.meaning import QUESTIONS, meaning
from models.embedded.network import TEXT_WIDTH, make_text_encoder
from models.embedded.tokenizer import make_tokenizer
from models.embedded.vocabulary import words

LEARNING_RATE = 1e-3
BATCH = 128
MIXTURE = (0.1, 0.4, 0.35, 0.15)


class Reader(nn.Module):
    """The text encoder and, for its training alone, a linear answer to each question."""

    def __init__(self) -> None:
        super().__init__()
        self.tokenizer = make_tokenizer(words())
        self.text_encoder = make_text_encoder(self.tokenizer)
        self.answers = nn.ModuleList(nn.Linear(TEXT_WIDTH, sum(asked)) for asked in QUESTIONS)

    def forward(self, said: list[str]) -> list[Tensor]:
        """Return for each question the (N, answers) logits."""
        tokens = self.tokenizer(
            said, padding="max_length", truncation=True, return_tensors="pt"
        ).input_ids
        last = self.text_encoder(tokens).last_hidden_state[:, -len(QUESTIONS) :]
        return [
            logits
            for index, (answer, asked) in enumerate(zip(self.answers, QUESTIONS, strict=True))
            for logits in answer(last[:, index]).split(list(asked), dim=1)
        ]


def make_captions(seed: int, step: int) -> tuple[list[str], Tensor]:
    """Return captions that training may see, and the (N, questions) right answers."""
    random = Random(f"text {seed} {step}")
    said, meant = [], []
    for draw_one in random.choices(DRAWS, MIXTURE, k=BATCH):
        picture = sampling.seen(draw_one, random)
        said.append(say(captions.caption(picture, random), random))
        meant.append(meaning(picture) if said[-1] else (0,) * sum(map(len, QUESTIONS)))
    return said, torch.tensor(meant)


def train_text(reader: Reader, steps: int, seed: int, log: Path) -> None:
    optimizer = torch.optim.AdamW(reader.parameters(), fused=True)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = (
                LEARNING_RATE * min(1, (step + 1) / 100) * (1 + cos(pi * step / steps)) / 2
            )
        said, meant = make_captions(seed, step)
        logits = reader(said)
        losses = [nn.functional.cross_entropy(one, meant[:, at]) for at, one in enumerate(logits)]
        torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(reader.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % 50 == 0 or step == steps - 1:
            line = {"step": step, "understood": round(understood(logits, meant), 4)}
            with log.open("a") as lines:
                lines.write(json.dumps(line) + "\n")


def understood(logits: list[Tensor], meant: Tensor) -> float:
    """Return the share of captions of which every question was answered right."""
    rights = [one.argmax(1) == meant[:, at] for at, one in enumerate(logits)]
    return float(torch.stack(rights).all(0).float().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(".darkroom/training"))
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    arguments.out.mkdir(parents=True, exist_ok=True)
    reader = Reader()
    train_text(reader, arguments.steps, arguments.seed, arguments.out / "text.jsonl")
    state = {name: tensor.contiguous() for name, tensor in reader.text_encoder.state_dict().items()}
    save_file(state, arguments.out / "text_encoder.safetensors")


if __name__ == "__main__":
    main()

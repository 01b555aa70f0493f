"""Weights, their moving average and the optimizer's moments, to and from one safetensors file."""

import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

Weights = dict[str, Tensor]

#: Where an exported folder keeps each module's tensors, and how far the training had come.
FILES = {
    "text_encoder": "text_encoder/model.safetensors",
    "unet": "unet/diffusion_pytorch_model.safetensors",
}
AUTOENCODER = "vae/diffusion_pytorch_model.safetensors"
PROGRESS = "training.json"


def weights_of(**modules: nn.Module) -> Weights:
    """Return the trained parameters by name, each prefixed with its module's."""
    return {
        f"{prefix}.{name}": parameter
        for prefix, module in modules.items()
        for name, parameter in module.named_parameters()
    }


def save(path: Path, weights: Weights, average: Weights, optimizer: torch.optim.Optimizer | None,
         progress: dict[str, int]) -> None:  # fmt: skip
    """Write beside and rename, so that a kill never leaves half a checkpoint."""
    tensors = {f"weights.{name}": tensor.detach() for name, tensor in weights.items()}
    tensors |= {f"average.{name}": tensor for name, tensor in average.items()}
    for name, parameter in weights.items() if optimizer else ():
        state = optimizer.state[parameter] if optimizer else {}
        tensors |= {f"{key}.{name}": state[key] for key in ("exp_avg", "exp_avg_sq") if state}
    unfinished = path.with_suffix(".part")
    save_file(
        {name: tensor.contiguous() for name, tensor in tensors.items()},
        unfinished,
        {key: str(value) for key, value in progress.items()},
    )
    unfinished.rename(path)


def load(path: Path, weights: Weights, average: Weights,
         optimizer: torch.optim.Optimizer | None = None) -> dict[str, int]:  # fmt: skip
    """Fill all of it in place and return the progress; moments that were not kept start anew."""
    with safe_open(path, "pt") as file, torch.no_grad():
        progress = {key: int(value) for key, value in (file.metadata() or {}).items()}
        kept = set(file.keys())
        for name, parameter in weights.items():
            parameter.copy_(file.get_tensor(f"weights.{name}"))
            average[name].copy_(file.get_tensor(f"average.{name}"))
            if optimizer and f"exp_avg.{name}" in kept:
                optimizer.state[parameter] = {
                    "step": torch.tensor(float(progress["step"])),
                    "exp_avg": file.get_tensor(f"exp_avg.{name}"),
                    "exp_avg_sq": file.get_tensor(f"exp_avg_sq.{name}"),
                }
    return progress


@torch.no_grad()
def load_folder(folder: Path, weights: Weights, average: Weights) -> dict[str, int]:
    """Fill weights and average alike from an exported folder's averaged ones."""
    kept = {module: load_file(folder / file) for module, file in FILES.items()}
    for name, parameter in weights.items():
        module, _, inner = name.partition(".")
        parameter.copy_(kept[module][inner])
        average[name].copy_(parameter)
    progress: dict[str, int] = json.loads((folder / PROGRESS).read_text())
    return progress

"""Checkpoint and decoder in, a StableDiffusionPipeline folder out, with its card and hashes."""

import argparse
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file

from models.embedded import checkpoint
from models.embedded.autoencoder import make_autoencoder
from models.embedded.card import write_card
from models.embedded.network import make_scheduler, make_text_encoder, make_unet
from models.embedded.tokenizer import make_tokenizer
from models.embedded.vocabulary import words

Progress = dict[str, int]  #: steps taken and samples seen

MANIFEST = "sha256.txt"
#: Kept by `from_config` when another scheduler is made from ours; DDIM and DDPM clip without them.
SCHEDULER_KEYS = {
    "clip_sample": False,
    "set_alpha_to_one": True,
    "skip_prk_steps": True,
    "steps_offset": 1,
}


def make_pipeline(trained: Path, autoencoder: Path) -> tuple[StableDiffusionPipeline, Progress]:
    """Return the pipeline with the averaged weights, and how far they have been trained."""
    tokenizer = make_tokenizer(words())
    text_encoder, unet, vae = make_text_encoder(tokenizer), make_unet(), make_autoencoder()
    weights = checkpoint.weights_of(text_encoder=text_encoder, unet=unet)
    average = {name: parameter.detach().clone() for name, parameter in weights.items()}
    progress = checkpoint.load(trained, weights, average)
    with torch.no_grad():
        for name, parameter in weights.items():
            parameter.copy_(average[name])
    vae.load_state_dict(load_file(autoencoder))
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder.eval(),
        tokenizer=tokenizer,
        unet=unet.eval(),
        scheduler=make_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    return pipeline, progress


def export(trained: Path, autoencoder: Path, out: Path) -> None:
    pipeline, progress = make_pipeline(trained, autoencoder)
    pipeline.to(torch.float16)
    pipeline.save_pretrained(out)
    _edit(out / "scheduler" / "scheduler_config.json", SCHEDULER_KEYS, drop=())
    # AutoencoderTiny registers this key itself, and warns when it finds it in the file.
    _edit(out / "vae" / "config.json", {}, drop=("block_out_channels",))
    write_card(out / "README.md", progress["samples"])
    (out / checkpoint.PROGRESS).write_text(json.dumps(progress, sort_keys=True) + "\n")
    write_manifest(out)


def write_manifest(folder: Path) -> None:
    """List each file's hash, in the form that `sha256sum --check` reads."""
    lines = [
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(folder).as_posix()}\n"
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != MANIFEST
    ]
    for file in folder.rglob("*.safetensors"):
        file.chmod(0o644)  # written for the owner alone, and read by other users' workers
    (folder / MANIFEST).write_text("".join(lines))


def _edit(path: Path, more: Mapping[str, object], drop: tuple[str, ...]) -> None:
    config = json.loads(path.read_text()) | more
    kept = {key: value for key, value in config.items() if key not in drop}
    path.write_text(json.dumps(kept, indent=2, sort_keys=True) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    trained = Path(".darkroom/training")
    parser.add_argument("--checkpoint", type=Path, default=trained / "checkpoint.safetensors")
    parser.add_argument("--autoencoder", type=Path, help="default: the one in the folder")
    parser.add_argument("--out", type=Path, default=Path("models/darkroom-small"))
    arguments = parser.parse_args()
    autoencoder = arguments.autoencoder or arguments.out / checkpoint.AUTOENCODER
    export(arguments.checkpoint, autoencoder, arguments.out)


if __name__ == "__main__":
    main()

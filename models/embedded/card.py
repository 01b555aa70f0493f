"""What a reader must know about the weights, as the model folder's README."""

from pathlib import Path

from models.embedded.vocabulary import (
    BOAT_COLOURS,
    COLOURS,
    HOUSE_COLOURS,
    PLACES,
    RELATIONS,
    SHAPES,
    SIZES,
    STYLES,
    words,
)

CARD = """---
license: apache-2.0
library_name: diffusers
pipeline_tag: text-to-image
---
# darkroom-small

A small text-to-image model that draws coloured shapes and picture-book scenes on any CPU.
It was trained from nothing on {samples:,} drawings that this repository makes itself
(`models/embedded`): no photograph, no person's picture, no downloaded data or weights.

    DiffusionPipeline.from_pretrained("models/darkroom-small", dtype=torch.float32)

Pass `dtype`: the files are fp16, and libraries differ in what they do with that on a CPU.
How well it follows words is measured in `docs/embedded-model.md`.

## What it can draw
- One shape: {styles}; {sizes}; {shapes}; {colours}; on a background of another of these colours;
  at a place: {places}.
  "a large striped red circle in the top left corner on a blue background"
- Two shapes: {relations}. "a green triangle above a yellow square on a white background"
- Scenes: the sea or the hills; by day, at sunset, at night; the sun or the moon; on hills a house
  ({houses}) and a tree, on the sea a boat ({boats}).
  "the moon and a red boat on the sea at night"

Left out, the place is the middle, the size medium, the style plain. Always name the background.

## Words it knows
{words}

Other words are split into letters and do little. There is no person, no text, no photograph in it.

## How it is built
AutoencoderTiny (4 latent channels, 1/8 size, exact averaging as its encoder), CLIPTextModel (3
layers, 128 wide), UNet2DConditionModel (32, 64, 128, 160, 160 channels), v-prediction with zero
terminal SNR. Trained at 256 x 256, which is its best size.
"""


def write_card(path: Path, samples: int) -> None:
    path.write_text(
        CARD.format(
            samples=samples,
            colours=", ".join(COLOURS),
            shapes=", ".join(SHAPES),
            sizes=", ".join(SIZES),
            styles=", ".join(STYLES),
            places=", ".join(PLACES),
            relations=", ".join(RELATIONS),
            houses=", ".join(HOUSE_COLOURS),
            boats=", ".join(BOAT_COLOURS),
            words=" ".join(sorted(words())),
        )
    )

"""An AutoencoderTiny whose encoder is exact arithmetic and whose decoder starts as its inverse.

A latent cell of 8 x 8 pixels holds the mean red, green and blue and one slope of brightness. So the
UNet can be trained before any decoder is, and latents cost one strided convolution.
"""

import torch
from diffusers import AutoencoderTiny
from diffusers.models.autoencoders.vae import AutoencoderTinyBlock
from torch import Tensor, nn

CELL = 8  #: pixels a side
GAIN = 3.0  #: makes the spread of the mean colours about one
SLOPE_GAIN = 12.0
SLOPE_COLOURS = (0.5, 0.9, -0.6)  #: no two colours of the palette weigh the same
WIDTH = 32
BLOCKS = (3, 2, 1, 0)  #: of the decoder, from 1/8 size up to full


def make_autoencoder() -> AutoencoderTiny:
    autoencoder = AutoencoderTiny(
        encoder_block_out_channels=(4, 4, 4, 4),
        decoder_block_out_channels=(WIDTH,) * 4,
        num_encoder_blocks=(0, 0, 0, 0),
        num_decoder_blocks=BLOCKS,
        latent_channels=4,
    )
    with torch.no_grad():
        _set_encoder(autoencoder.encoder.layers)
        _set_decoder(autoencoder.decoder.layers)
    autoencoder.encoder.requires_grad_(False)
    return autoencoder


def encode(pictures: Tensor) -> Tensor:
    """Return the latents of (N, 3, H, W) pictures in [0, 1], as the encoder would."""
    kernel = torch.zeros(4, 3, CELL, CELL)
    ramp = (torch.arange(CELL) - (CELL - 1) / 2) / (CELL - 1)
    slope = (ramp[None, :] + 0.5 * ramp[:, None]) / CELL**2
    for colour in range(3):
        kernel[colour, colour] = GAIN / CELL**2
        kernel[3, colour] = SLOPE_GAIN * SLOPE_COLOURS[colour] * slope
    bias = torch.tensor([-GAIN / 2] * 3 + [0.0])
    return nn.functional.conv2d(pictures, kernel, bias, stride=CELL)


def _set_encoder(layers: nn.Sequential) -> None:
    """Carry mean red, green, blue and the slope so far; each level adds its share of the slope."""
    first, *halvings, last = (layer for layer in layers if isinstance(layer, nn.Conv2d))
    for parameter in layers.parameters():
        nn.init.zeros_(parameter)
    assert last.bias is not None
    last.bias[:3] = -GAIN / 2
    for colour in range(3):
        first.weight[colour, colour, 1, 1] = 1.0
        last.weight[colour, colour, 1, 1] = GAIN
    last.weight[3, 3, 1, 1] = SLOPE_GAIN
    for level, layer in enumerate(halvings):
        for channel in range(4):
            layer.weight[channel, channel, 1:, 1:] = 0.25
        step = 2**level / (CELL - 1) / 4
        slope = step * torch.tensor([[-0.75, 0.25], [-0.25, 0.75]])
        for colour in range(3):
            layer.weight[3, colour, 1:, 1:] = SLOPE_COLOURS[colour] * slope


def _set_decoder(layers: nn.Sequential) -> None:
    """Pass the mean colours through every level; what refines them starts at nothing."""
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    first, *between, last = convolutions
    for layer in convolutions:
        layer.weight[:3] = 0.0
        if layer.bias is not None:
            layer.bias[:3] = 0.0
    assert first.bias is not None
    first.bias[:3] = 0.5
    for colour in range(3):
        first.weight[colour, colour, 1, 1] = 1 / GAIN
        for layer in between:
            layer.weight[colour, colour, 1, 1] = 1.0
    nn.init.zeros_(last.weight)
    for colour in range(3):
        last.weight[colour, colour, 1, 1] = 1.0
    for block in layers:
        if isinstance(block, AutoencoderTinyBlock):
            for parameter in block.conv[-1].parameters():
                nn.init.zeros_(parameter)

"""Pixels in, the nearest named colours and the connected patches out. Pure numpy."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.embedded.vocabulary import RGB

Mask = NDArray[np.bool_]
Labels = NDArray[np.intp]


def nearest(pixels: NDArray[np.uint8], colours: Sequence[RGB]) -> Labels:
    """Return for each pixel the index of the nearest colour."""
    palette = np.asarray(colours, np.float32)
    away = pixels[:, :, None, :].astype(np.float32) - palette
    labels: Labels = np.argmin((away**2).sum(-1), axis=-1)
    return labels


def patches(mask: Mask) -> list[Mask]:
    """Split into patches of cells that touch at their sides, the largest first."""
    left, found = mask.copy(), []
    while left.any():
        patch = _reached(np.unravel_index(int(left.argmax()), left.shape), left)
        left &= ~patch
        found.append(patch)
    return sorted(found, key=lambda patch: -int(patch.sum()))


def _reached(start: tuple[np.intp, ...], mask: Mask) -> Mask:
    patch = np.zeros_like(mask)
    patch[start] = True
    while True:
        grown = patch.copy()
        grown[1:] |= patch[:-1]
        grown[:-1] |= patch[1:]
        grown[:, 1:] |= patch[:, :-1]
        grown[:, :-1] |= patch[:, 1:]
        grown &= mask
        if (grown == patch).all():
            return patch
        patch = grown


def filled(mask: Mask) -> Mask:
    """Fill the holes: what is not reached from outside belongs to the shape."""
    around = np.pad(~mask, 1, constant_values=True)
    return ~_reached((np.intp(0), np.intp(0)), around)[1:-1, 1:-1]


def inner(mask: Mask) -> Mask:
    """Take a rim of one cell off, where colours are mixed."""
    padded = np.pad(mask, 1)
    return mask & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]

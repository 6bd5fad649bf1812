"""All heads of a model side by side: one small square a head, as bytes that a colour scale turns into a picture."""

import math

import numpy as np

from gpt.interpret.inspection import Inspection

LARGEST_TILE = 40  # most cells per side of one head
MOST_CELLS = 150_000  # of the whole mosaic: together with one head in full, less than 0.5 MB is sent to the page
# Viridis at equal steps (Smith and van der Walt 2015): perceptually uniform and safe for colour-blind readers.
VIRIDIS = ("#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725")
ABSENT = (148, 163, 184)  # the colour of cells that are not there, unlike any of the scale
PIXELS = 4  # sides of a cell in `picture`


def tile_size(L: int, H: int, T: int) -> int:
    """Cells of one head in a mosaic of L x H heads on T tokens, each way."""
    largest = min(LARGEST_TILE, int(0.88 * math.sqrt(MOST_CELLS / (L * H))) - 2)  # 12 % and 2 cells are left for the gaps
    return -(-T // -(-T // largest))


def tiles(weights: np.ndarray, size: int) -> np.ndarray:
    """(H, T, T) weights -> (H, size, size) bytes, 0 above the diagonal: how far each weight is above an even spread over what may be read,
    1 / (q + 1), as a share of the way to 1. A head that reads all alike is dark in every row. Long prompts shrink by the maximum of
    neighbouring cells, since the mean would erase diagonals."""
    even = 1 / np.arange(1, weights.shape[-1] + 1, dtype=np.float32)[:, None]  # (T, 1)
    above = np.clip((weights - even) / np.maximum(1 - even, 1e-6), 0, 1)  # (H, T, T); the first row can only be even
    return np.stack([to_bytes(pooled(one, size)) for one in above])


def all_tiles(inspection: Inspection) -> np.ndarray:
    """(L, H, size, size) bytes: `tiles` of every layer, computed one layer at a time, since all at once may not fit into memory."""
    L, H, T = inspection.shape
    return np.stack([tiles(inspection.weights(layer), tile_size(L, H, T)) for layer in range(L)])


def pitch_of(size: int) -> int:
    """Cells from the edge of one tile to that of the next."""
    return size + max(2, size // 8)


def canvas(cells: np.ndarray, places: list[tuple[int, int]] | None = None) -> np.ndarray:
    """(L, H, size, size) bytes -> (L pitch, H pitch): rows are layers and columns are heads, unless `places` lists the (layer, head) of
    every tile, row by row."""
    L, H, size, _ = cells.shape
    pitch = pitch_of(size)
    whole = np.zeros((L * pitch, H * pitch), dtype=np.uint8)
    for i, (layer, head) in enumerate(places or [(layer, head) for layer in range(L) for head in range(H)]):
        y, x = i // H * pitch, i % H * pitch
        whole[y:y + size, x:x + size] = cells[layer, head]
    return whole


def picture(inspection: Inspection) -> np.ndarray:
    """All heads as an image, (height, width, 3) bytes of red, green and blue; a cell is PIXELS wide."""
    codes = canvas(all_tiles(inspection))
    colours = np.array([[int(name[i:i + 2], 16) for i in (1, 3, 5)] for name in VIRIDIS], dtype=float)  # (10, 3)
    at, known = np.arange(256), np.linspace(1, 255, len(VIRIDIS))
    scale = np.stack([np.interp(at, known, colours[:, channel]) for channel in range(3)], axis=1)  # (256, 3)
    scale[0] = ABSENT
    return np.rint(scale).astype(np.uint8)[codes].repeat(PIXELS, axis=0).repeat(PIXELS, axis=1)


def pooled(matrix: np.ndarray, size: int) -> np.ndarray:
    """(T, T) -> (size, size), or unchanged if T <= size. Each cell is the value of its block furthest from 0; for weights that is the
    largest. NaN counts as 0."""
    T = len(matrix)
    block = -(-T // size)
    if block == 1:
        return matrix
    full = np.zeros((size * block, size * block), dtype=np.float32)
    full[:T, :T] = np.nan_to_num(matrix)
    blocks = full.reshape(size, block, size, block)
    largest, smallest = blocks.max(axis=(1, 3)), blocks.min(axis=(1, 3))
    return np.where(largest >= -smallest, largest, smallest)


def to_bytes(places: np.ndarray) -> np.ndarray:
    """(n, n) places on the colour scale, 0 to 1 -> bytes from 1 to 255, 0 above the diagonal and where NaN."""
    here = np.tri(len(places), dtype=bool) & ~np.isnan(places)
    return np.where(here, 1 + np.rint(254 * np.nan_to_num(places)), 0).astype(np.uint8)

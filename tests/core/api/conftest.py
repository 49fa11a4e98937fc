"""Tiny images of two classes under a strip of glass: plain and striped."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import segmix_core as sx

METHODS = {
    "cam": sx.Cam(epochs=2, width=8),
    "seam": sx.Seam(epochs=2, width=8),
    "puzzle-cam": sx.PuzzleCam(epochs=2, width=8),
    "fixed-shuffle": sx.FixedShuffle(epochs=2, width=8),
    "segmix": sx.SegMix(epochs=2, width=8),
    "segmix-plus": sx.SegMixPlus(epochs=3, width=8),
}
MACHINE = sx.MachineSettings(device="cpu", threads=1, precision="float32")
CLASSES = ["plain", "striped"]


def draw(count, edge=32, seed=0):
    """Images (B, 3, H, W) float in 0..1 and labels (B, 2)."""
    rng = np.random.default_rng(seed)
    images = rng.normal(0.6, 0.02, (count, 3, edge, edge))
    striped = np.arange(count) % 2 == 1
    images[striped, ..., ::4] -= 0.4
    images[..., :2, :] = 0.95
    labels = np.stack([~striped, striped], axis=1)
    return images.clip(0, 1).astype(np.float32), labels.astype(np.int64)


@pytest.fixture
def loader():
    images, labels = (torch.from_numpy(part) for part in draw(10))
    return DataLoader(TensorDataset(images, labels), batch_size=4, shuffle=True)

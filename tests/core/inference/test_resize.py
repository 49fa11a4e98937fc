import numpy as np
import pytest
import torch
from torch.nn import functional

from segmix_core.inference.pseudo_masks import resize_maps


@pytest.mark.parametrize("shape", [(16, 24), (13, 7), (2, 3), (5, 3), (1, 1)])
def test_equals_torch(shape):
    maps = np.random.default_rng(0).random((3, 4, 5)).astype(np.float32)
    expected = functional.interpolate(
        torch.from_numpy(maps)[None], shape, mode="bilinear", align_corners=False
    )[0]
    np.testing.assert_allclose(resize_maps(maps, shape), expected, atol=1e-5)


def test_stride_resizes_all_cells_and_cuts():
    maps = np.random.default_rng(1).random((2, 4, 5)).astype(np.float32)
    expected = resize_maps(maps, (32, 40))[:, :27, :33]
    np.testing.assert_allclose(resize_maps(maps, (27, 33), 8), expected, atol=1e-6)


def test_constant_stays_constant():
    maps = np.full((1, 1, 1), 0.7, np.float32)
    np.testing.assert_allclose(resize_maps(maps, (9, 4), 8), 0.7, atol=1e-6)

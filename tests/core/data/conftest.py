from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from segmix_core.project.records import ImageRecord, TileTable


@pytest.fixture
def add_image(tmp_path: Path) -> Callable[..., ImageRecord]:
    """Write a PNG of random pixels and return its record."""

    def add(
        image_id: int,
        shape: tuple[int, int] = (64, 96),
        downsample: float = 1.0,
        pixels: npt.NDArray[np.uint8] | None = None,
    ) -> ImageRecord:
        if pixels is None:
            random = np.random.default_rng(image_id)
            pixels = random.integers(0, 256, (*shape, 3), np.uint8)
        path = tmp_path / f"image{image_id}.png"
        Image.fromarray(pixels).save(path)
        height, width = pixels.shape[:2]
        return ImageRecord(
            image_id, 1, path, height, width, None, None, downsample, "", "train"
        )

    return add


@pytest.fixture
def make_table() -> Callable[..., TileTable]:
    """Return a table of tiles: (image id, y, x, height, width) a row."""

    def make(rows: list[tuple[int, int, int, int, int]], classes: int = 2) -> TileTable:
        values = np.array(rows, np.int64)
        count = len(rows)
        ids = np.arange(count) + 100
        labels = (np.arange(count * classes).reshape(count, classes) % 3 - 1).astype(
            np.int8
        )
        zeros = np.zeros(count, np.int64)
        return TileTable(
            ids,
            values[:, 0],
            zeros,
            zeros,
            values[:, 1:],
            labels,
            np.zeros(count, np.int8),
        )

    return make

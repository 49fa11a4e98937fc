import numpy as np
import pytest

from segmix_core.export.label_info import LabelImageInfo
from segmix_core.project.records import TissueClass


@pytest.fixture
def info() -> LabelImageInfo:
    classes = (
        TissueClass(1, "tumour <&>", "#ff0000"),
        TissueClass(2, "Drüse", "#00ff80"),
    )
    return LabelImageInfo(
        classes, 0.5, 0.5, "slide é.svs", downsample=2.0, origin=(4, 6)
    )


@pytest.fixture
def label_map() -> np.ndarray:
    """Odd sizes, several strips and levels; blobs, so that mistakes show."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 3, (22, 30), dtype=np.uint8)
    labels = np.kron(coarse, np.ones((60, 60), np.uint8))[:1283, :1751].copy()
    labels[100:200, 100:300] = 255
    return labels

"""A synthetic slide drawn from a seed, to try SegMix without data."""

from segmix_core.sample.labels import tile_labels
from segmix_core.sample.layout import CLASS_NAMES
from segmix_core.sample.slide_file import SAMPLE_MPP, make_sample, write_sample_slide

__all__ = [
    "CLASS_NAMES",
    "SAMPLE_MPP",
    "make_sample",
    "tile_labels",
    "write_sample_slide",
]

"""SegMix: pixel masks from image-level labels for pathology images.

Names are loaded when they are first used: importing the package loads no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segmix_core.api.masks import pseudo_masks
    from segmix_core.api.projects import Project
    from segmix_core.curriculum.shuffle import Shuffled, shuffle_batch
    from segmix_core.errors import (
        ConfigError,
        DataError,
        JobError,
        ProjectError,
        SegmixError,
        SlideError,
    )

_HOMES = {
    "ConfigError": "errors",
    "DataError": "errors",
    "JobError": "errors",
    "Project": "api.projects",
    "ProjectError": "errors",
    "SegmixError": "errors",
    "Shuffled": "curriculum.shuffle",
    "SlideError": "errors",
    "pseudo_masks": "api.masks",
    "shuffle_batch": "curriculum.shuffle",
}
"""Module of each public name."""

__all__ = [
    "ConfigError",
    "DataError",
    "JobError",
    "Project",
    "ProjectError",
    "SegmixError",
    "Shuffled",
    "SlideError",
    "pseudo_masks",
    "shuffle_batch",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'segmix_core' has no attribute {name!r}")
    value = getattr(import_module(f"segmix_core.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

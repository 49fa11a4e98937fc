"""SegMix: pixel masks from image-level labels for pathology images.

Names are loaded when they are first used: importing the package loads no torch. Unless
the variable OMP_WAIT_POLICY is set, the first use sets it to "passive".
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from segmix_core.cores import let_idle_threads_sleep

if TYPE_CHECKING:
    from segmix_core.api.classifier import TrainedClassifier
    from segmix_core.api.following import TrainingProgress
    from segmix_core.api.masks import pseudo_masks
    from segmix_core.api.models import load_model
    from segmix_core.api.projects import Project
    from segmix_core.api.segmenter import TrainedSegmenter
    from segmix_core.api.segmenter_training import train_segmenter
    from segmix_core.api.training import train
    from segmix_core.curriculum.shuffle import Shuffled, shuffle_batch
    from segmix_core.errors import (
        CheckpointError,
        ConfigError,
        DataError,
        JobError,
        ProjectError,
        SegmixError,
        SlideError,
    )
    from segmix_core.methods import (
        Cam,
        FixedShuffle,
        PuzzleCam,
        Seam,
        SegMix,
        SegMixPlus,
    )
    from segmix_core.settings import (
        CamSettings,
        MachineSettings,
        PredictSettings,
        PseudoMaskSettings,
        SegmenterSettings,
    )

_HOMES = {
    "Cam": "methods",
    "CamSettings": "settings",
    "CheckpointError": "errors",
    "ConfigError": "errors",
    "DataError": "errors",
    "FixedShuffle": "methods",
    "JobError": "errors",
    "MachineSettings": "settings",
    "PredictSettings": "settings",
    "Project": "api.projects",
    "ProjectError": "errors",
    "PseudoMaskSettings": "settings",
    "PuzzleCam": "methods",
    "Seam": "methods",
    "SegMix": "methods",
    "SegMixPlus": "methods",
    "SegmenterSettings": "settings",
    "SegmixError": "errors",
    "Shuffled": "curriculum.shuffle",
    "SlideError": "errors",
    "TrainedClassifier": "api.classifier",
    "TrainedSegmenter": "api.segmenter",
    "TrainingProgress": "api.following",
    "load_model": "api.models",
    "pseudo_masks": "api.masks",
    "shuffle_batch": "curriculum.shuffle",
    "train": "api.training",
    "train_segmenter": "api.segmenter_training",
}
"""Module of each public name."""

__all__ = [
    "Cam",
    "CamSettings",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "FixedShuffle",
    "JobError",
    "MachineSettings",
    "PredictSettings",
    "Project",
    "ProjectError",
    "PseudoMaskSettings",
    "PuzzleCam",
    "Seam",
    "SegMix",
    "SegMixPlus",
    "SegmenterSettings",
    "SegmixError",
    "Shuffled",
    "SlideError",
    "TrainedClassifier",
    "TrainedSegmenter",
    "TrainingProgress",
    "load_model",
    "pseudo_masks",
    "shuffle_batch",
    "train",
    "train_segmenter",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'segmix_core' has no attribute {name!r}")
    # Beside other programs, threads of torch that spin make a step many times slower.
    let_idle_threads_sleep(os.environ)
    value = getattr(import_module(f"segmix_core.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)

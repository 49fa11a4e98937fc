"""The methods of the benchmark: how each trains, and how it is asked for maps."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.quality.ceiling import supervised_samples, true_masks
from benchmarks.quality.grad_cam import gradient_maps, load_package
from benchmarks.quality.maps import MapsOfName, MapsOfPixels, class_maps
from benchmarks.quality.protocol import Protocol
from benchmarks.quality.pseudo import pseudo_masks
from benchmarks.quality.samples import FolderSamples
from segmix_core.data.samples import MaskArray, SampleSource
from segmix_core.errors import ConfigError
from segmix_core.methods import METHODS as TRAINED_METHODS
from segmix_core.models.cam_classifier import CamClassifier
from segmix_core.settings import PseudoMaskSettings, RunSettings
from segmix_core.training.supervised_task import SupervisedTask
from segmix_core.training.task import Task

MakeMasks = Callable[
    [Protocol, MapsOfName, float | None, PseudoMaskSettings], list[MaskArray]
]
"""Protocol, maps, threshold and settings -> mask of each item to learn from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkMethod:
    """A method, as what differs from the others.

    Attributes
    ----------
    changes
        Settings that make the method, by dotted name.
    samples
        What is learned from, made of the tiles of a protocol.
    make_task
        As in :func:`segmix_core.training.classifier.fit_classifier`.
    maps
        How the trained network is asked.
    masks
        What its segmenter learns from.
    check
        Raises a ConfigError if the method cannot run here.
    reads_train_masks
        It is no weak supervision, but the ceiling.
    """

    changes: Mapping[str, Any] = field(default_factory=dict)
    samples: Callable[[Protocol, FolderSamples], SampleSource] = (
        lambda protocol, samples: samples
    )
    make_task: Callable[[CamClassifier], Task] | None = None
    maps: Callable[[CamClassifier, RunSettings], MapsOfPixels] = class_maps
    masks: MakeMasks = pseudo_masks
    check: Callable[[], object] = lambda: None
    reads_train_masks: bool = False


METHODS: dict[str, BenchmarkMethod] = {
    **{
        name: BenchmarkMethod(changes={"train.method": name})
        for name in TRAINED_METHODS
    },
    "cellmix-schedule": BenchmarkMethod(
        changes={"train.method": "segmix", "train.strategy": "cellmix"}
    ),
    "grad-cam": BenchmarkMethod(
        changes={"train.method": "cam"}, maps=gradient_maps, check=load_package
    ),
    "full": BenchmarkMethod(
        changes={"train.method": "cam"},
        samples=supervised_samples,
        make_task=SupervisedTask,
        masks=lambda protocol, *_: true_masks(protocol),
        reads_train_masks=True,
    ),
}


def check_methods(methods: Sequence[str]) -> None:
    """Raise ConfigError unless all methods are known and can run here.

    Raises
    ------
    ConfigError
        Naming the first that is not, or what it needs.
    """
    for method in methods:
        if method not in METHODS:
            raise ConfigError(
                f"{method!r} is not a valid method.",
                f"Choose from {', '.join(METHODS)}.",
            )
        METHODS[method].check()

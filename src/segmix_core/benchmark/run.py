"""Methods trained and scored one after the other, under the same conditions."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from segmix_core.benchmark.folder import BenchmarkFolder, LabelledImage
from segmix_core.benchmark.protocols import MapsOf, Protocol, classes_of
from segmix_core.benchmark.scores import Scorer, Scores
from segmix_core.benchmark.trivial import TRIVIAL_PREDICTORS
from segmix_core.config import Method, RunConfig
from segmix_core.errors import ConfigError
from segmix_core.inference.cam_maps import cam_maps
from segmix_core.models.cam_classifier import CamClassifier
from segmix_core.stages.train import Preparation, fit_classifier
from segmix_core.stages.weights import prepare_device
from segmix_core.training.task import Listener

METHODS: tuple[str, ...] = get_args(Method)
_EDGE_STEP = 16


@dataclass(frozen=True, slots=True)
class MethodResult:
    """One training and its scores on test.

    ``threshold`` was chosen on val; None where the protocol has none.
    """

    method: str
    seed: int | None
    scores: Scores
    threshold: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {
            "method": self.method,
            "seed": self.seed,
            "threshold": self.threshold,
            **self.scores.to_json(),
        }


def check_methods(methods: Sequence[str]) -> None:
    """Return if all methods are known.

    Raises
    ------
    ConfigError
        Naming the first that is not.
    """
    for method in methods:
        if method not in METHODS:
            raise ConfigError(
                f"methods among {', '.join(METHODS)}", repr(method), "Correct the name."
            )


def score_trivial(folder: BenchmarkFolder) -> Iterator[MethodResult]:
    """Yield the scores of the predictors that learn nothing."""
    images = folder.split("test")
    groups = classes_of(images, folder.class_names)
    for name, predict in TRIVIAL_PREDICTORS.items():
        scorer = Scorer()
        for image, group in zip(images, groups, strict=True):
            truth = folder.read_mask(image) > 0
            scorer.add(group, truth, predict(folder.read_image(image.name)))
        yield MethodResult(name, None, scorer.result())


def run_method(
    protocol: Protocol, method: str, config: RunConfig, listener: Listener
) -> MethodResult | None:
    """Train a method on train, choose its threshold on val, score it on test.

    Parameters
    ----------
    protocol
        What to learn from and how to score.
    method
        One of :data:`METHODS`.
    config
        Everything else, with the seed; equal for all methods.
    listener
        Is told of progress; when it asks to stop, the result is None.
    """
    config = config.replace({"train.method": method})
    samples = protocol.training_samples()
    edge = -(-samples.longest_edge // _EDGE_STEP) * _EDGE_STEP
    with TemporaryDirectory() as folder:
        preparation = Preparation(edge, protocol.label_names, Path(folder))
        result, model = fit_classifier(samples, preparation, config, listener)
    if result.reason != "completed":
        return None
    maps_of = _maps_of(protocol.folder, model, config)
    threshold = protocol.fit_threshold(maps_of)
    scores = score(protocol, maps_of, threshold or 0.0)
    return MethodResult(method, config.train.seed, scores, threshold)


def score(protocol: Protocol, maps_of: MapsOf, threshold: float) -> Scores:
    """Return the scores of maps on the test images."""
    folder, scorer = protocol.folder, Scorer()
    images = folder.split("test")
    for image, group in zip(
        images, classes_of(images, folder.class_names), strict=True
    ):
        found = protocol.foreground(image, maps_of(image), threshold)
        scorer.add(group, folder.read_mask(image) > 0, found)
    return scorer.result()


def _maps_of(
    folder: BenchmarkFolder, model: CamClassifier, config: RunConfig
) -> Callable[[LabelledImage], npt.NDArray[np.float32]]:
    device = prepare_device(config.machine)
    model = model.eval().to(device)
    # Only methods that trained the PCM have one worth asking.
    refine = 0.0 if config.train.method == "cam" else config.cams.refine

    def maps_of(image: LabelledImage) -> npt.NDArray[np.float32]:
        pixels = torch.from_numpy(folder.read_image(image.name).copy())
        images = pixels.permute(2, 0, 1)[None].float().to(device) / 255
        maps = cam_maps(
            model,
            images,
            scales=config.cams.scales,
            flips=config.cams.flips,
            refine=refine,
        ).cam
        height, width = images.shape[-2:]
        rows, cols = (cells * model.stride for cells in maps.shape[-2:])
        large = F.interpolate(maps, (rows, cols), mode="bilinear", align_corners=False)
        return np.asarray(large[0, :, :height, :width].cpu().numpy())

    return maps_of

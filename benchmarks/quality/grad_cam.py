"""Grad-CAM (Selvaraju et al., ICCV 2017) as the ``grad-cam`` package computes it."""

import importlib
from copy import deepcopy
from types import ModuleType

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from benchmarks.quality.maps import MapsOfPixels, as_batch
from segmix_core.data.symmetries import symmetries_of, turn, turn_back
from segmix_core.errors import ConfigError
from segmix_core.models.cam_classifier import CamClassifier
from segmix_core.settings import RunSettings
from segmix_core.slides.slide import RgbArray


def load_package() -> ModuleType:
    """Return the package.

    Raises
    ------
    ConfigError
        If it is not installed.
    """
    try:
        return importlib.import_module("pytorch_grad_cam")
    except ImportError as error:
        raise ConfigError(
            f"The method grad-cam needs the package grad-cam ({error}).",
            "Install it with 'pip install grad-cam', or leave the method out.",
        ) from error


def gradient_maps(model: CamClassifier, config: RunSettings) -> MapsOfPixels:
    """Return a function that asks the package for the map of every class.

    At the last features, where the score of a class is the mean of its map, Grad-CAM
    is the class activation map. The package then moves and scales each class's map to
    0..1 and resizes it; of its answers for the eight views of a tile the mean is taken,
    as of the maps of all methods.
    """
    package = load_package()
    network = _LogitsOnly(model)
    device = next(model.parameters()).device
    views = symmetries_of(config.cams.flips)

    def map_of(images: Tensor, column: int) -> npt.NDArray[np.float32]:
        target = package.utils.model_targets.ClassifierOutputTarget(column)
        targets = [target] * len(images)
        with package.GradCAM(model=network, target_layers=[network.features]) as ask:
            seen = [
                turn_back(torch.from_numpy(ask(turn(images, view), targets)), view)
                for view in views
            ]
        return np.asarray(torch.stack(seen).mean(dim=0).numpy())

    def maps_of(pixels: RgbArray) -> npt.NDArray[np.float32]:
        images = as_batch(pixels, device)
        columns = [map_of(images, n) for n in range(model.num_classes)]
        return np.stack(columns, axis=1)

    return maps_of


class _LogitsOnly(nn.Module):
    """A copy of a classifier as the package wants it: logits, and a layer to ask."""

    def __init__(self, model: CamClassifier) -> None:
        super().__init__()
        # The package follows gradients to the features, a frozen backbone's as well.
        self.model = deepcopy(model).requires_grad_(True)
        # The head's input is the last features, whatever the backbone.
        self.features = nn.Identity()
        self.model.head = nn.Sequential(self.features, self.model.head)  # type: ignore[assignment]

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(images).logits
        return logits

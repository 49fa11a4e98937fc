"""A trained CAM classifier, for scripts and notebooks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segmix_core.api.checkpoints import COMPLETED
from segmix_core.data.arrays import as_labels, as_rgb
from segmix_core.errors import ConfigError, DataError
from segmix_core.inference.image_cams import ImageCams, image_cams
from segmix_core.models.cam_classifier import CamClassifier
from segmix_core.models.checkpoint import ORIGIN, save_checkpoint
from segmix_core.models.precision import resolve_precision
from segmix_core.models.shared_maps import reassign_absent
from segmix_core.project.records import LabelState

_BATCH = 32


class TrainedClassifier:
    """A network that finds classes in images, and shows where.

    :func:`train` and :func:`load_model` return it.

    Parameters
    ----------
    network
        The PyTorch module.
    class_names
        Names of the C classes.
    step
        Steps that it was trained.
    completed
        Whether the training ran to its end.

    Examples
    --------
    >>> images = np.random.default_rng(0).random((4, 3, 32, 32), np.float32)
    >>> labels = np.array([[1, 0], [0, 1], [1, 0], [0, 1]])
    >>> model = sx.train(
    ...     [(images, labels)],
    ...     classes=["gland", "stroma"],
    ...     method=sx.Cam(epochs=1, width=8),
    ... )
    >>> model.cams(images).shape, model.probabilities(images).shape
    ((4, 2, 32, 32), (4, 2))
    >>> model.save(folder / "model")
    >>> again = sx.load_model(folder / "model")
    >>> bool((again.cams(images) == model.cams(images)).all())
    True
    """

    def __init__(
        self,
        network: CamClassifier,
        class_names: Sequence[str],
        *,
        step: int = 0,
        completed: bool = True,
    ) -> None:
        self.network = network.eval()
        self.class_names = tuple(class_names)
        self.step = step
        self.completed = completed

    def __repr__(self) -> str:
        names = ", ".join(self.class_names)
        return f"<TrainedClassifier of {names}; {self.step} steps>"

    @property
    def shared_foreground(self) -> bool:
        """Whether the maps of an image add up to its foreground.

        Then :meth:`cams` needs the labels, or :func:`pseudo_masks` needs
        ``shared_foreground=True``.
        """
        return self.network.shared_foreground

    @property
    def normalized_stain(self) -> bool:
        """Whether it was trained on slides or cases of which all have one stain.

        Images of other stains have to be normalized before it sees them; the stage
        ``segmix cams`` does so for all slides of a project.
        """
        return self.network.normalized_stain

    def cams(
        self,
        images: Any,
        labels: npt.ArrayLike | None = None,
        *,
        scales: Sequence[float] = (1.0,),
        flips: bool = True,
        refine: float = 0.25,
    ) -> npt.NDArray[np.float32]:
        """Return class activation maps (CAMs) of images.

        Parameters
        ----------
        images
            (B, 3, H, W) or (B, H, W, 3), RGB, uint8 or float in 0..1.
        labels
            (B, C): 1 present, 0 absent, -1 unknown. Maps of absent classes are 0, and
            what they have of a shared foreground goes to the others. None: unknown.
        scales
            Image scales that are averaged, above 0.
        flips
            Average over flips and quarter turns.
        refine
            0..1: share of the map refined by the pixel correlation module (SEAM, Wang
            et al., CVPR 2020, section 3.3), for methods that have one.

        Returns
        -------
        array
            (B, C, H, W) float32 in 0..1. Maps are probabilities where single cells of
            the network answer (SegMix+); others (Zhou et al., CVPR 2016) are divided by
            the strongest value of their image.

        Raises
        ------
        DataError
            If images or labels do not fit.
        ConfigError
            If an option is out of range.
        """
        if not scales or min(scales) <= 0 or not 0 <= refine <= 1:
            raise ConfigError(
                "CAMs cannot be made this way: scales must be above 0, and refine in "
                "0..1.",
                "Choose other values.",
            )
        pixels = as_rgb(images)
        states = None
        if labels is not None:
            states = as_labels(labels, len(pixels), len(self.class_names))
        found = self._ask(pixels, scales=scales, flips=flips, refine=refine).cams
        if self.network.pooled_share == 1:
            strongest = found.max(axis=(1, 2, 3), keepdims=True)
            found = np.divide(found, strongest, out=found, where=strongest > 0)
        return found if states is None else self._among(found, states)

    def probabilities(self, images: Any) -> npt.NDArray[np.float32]:
        """Return the probability of each class in each image.

        Parameters
        ----------
        images
            As for :meth:`cams`.

        Returns
        -------
        array
            (B, C) float32 in 0..1.

        Raises
        ------
        DataError
            If the images do not fit.
        """
        return self._ask(as_rgb(images), refine=0.0).probabilities

    def save(self, folder: Path | str) -> None:
        """Write the network into a folder, as safetensors and JSON.

        Parameters
        ----------
        folder
            Made if it is not there; a model in it is replaced.

        Raises
        ------
        CheckpointError
            If the folder is a symbolic link.
        """
        save_checkpoint(
            Path(folder),
            module=self.network,
            arguments=self.network.arguments,
            kind="classifier",
            class_names=self.class_names,
            step=self.step,
            extra={ORIGIN: self.network.origin, COMPLETED: self.completed},
        )

    def _ask(self, pixels: npt.NDArray[np.uint8], **options: Any) -> ImageCams:
        least = self.network.size_multiple
        if min(pixels.shape[1:3]) < least:
            raise DataError(
                f"{pixels.shape[1]} x {pixels.shape[2]} pixels are too few for this "
                "network.",
                f"Use images of at least {least} pixels an edge.",
            )
        device = next(self.network.parameters()).device
        precision = resolve_precision("auto", device)
        parts = [
            image_cams(
                self.network,
                pixels[start : start + _BATCH],
                precision=precision,
                **options,
            )
            for start in range(0, len(pixels), _BATCH)
        ]
        return ImageCams(
            np.concatenate([part.cams for part in parts]),
            np.concatenate([part.probabilities for part in parts]),
        )

    def _among(
        self, cams: npt.NDArray[np.float32], labels: npt.NDArray[np.int8]
    ) -> npt.NDArray[np.float32]:
        possible = labels != LabelState.ABSENT
        if self.shared_foreground:
            pairs = zip(cams, possible, strict=True)
            return np.stack([reassign_absent(*pair) for pair in pairs])
        return np.asarray(cams * possible[:, :, None, None], np.float32)

"""A segmenter for scripts and notebooks: trained on masks, asked about slides."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segmix_core.api.checkpoints import COMPLETED
from segmix_core.data.arrays import as_numpy, as_rgb
from segmix_core.errors import DataError, SlideError
from segmix_core.geometry import Box
from segmix_core.inference.slide_prediction import predict_image
from segmix_core.models.checkpoint import save_checkpoint
from segmix_core.models.precision import resolve_precision
from segmix_core.models.segmenter import Segmenter
from segmix_core.settings import PredictSettings
from segmix_core.slides.open_slide import open_slide
from segmix_core.slides.region import read_region
from segmix_core.slides.slide import Slide
from segmix_core.slides.tiling import working_downsample

Masks = npt.NDArray[np.uint8]


class TrainedSegmenter:
    """A network that gives each pixel of an image a class.

    :func:`train_segmenter` and :func:`load_model` return it.

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
    >>> image = np.zeros((32, 32, 3), np.uint8)
    >>> image[:, 16:] = 255
    >>> mask = np.where(image[..., 0] > 0, 2, 1)
    >>> model = sx.train_segmenter(
    ...     [(image, mask)],
    ...     classes=["gland", "stroma"],
    ...     settings=sx.SegmenterSettings(epochs=1, encoder="tu-mobilenetv3_small_050"),
    ... )
    >>> model.predict(image).shape
    (32, 32)
    """

    def __init__(
        self,
        network: Segmenter,
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
        return f"<TrainedSegmenter of {names}; {self.step} steps>"

    def predict(
        self,
        image: Any,
        *,
        mpp: float | None = None,
        settings: PredictSettings | None = None,
    ) -> Masks:
        """Return the class of each pixel of an image, a batch of images or a slide.

        Parameters
        ----------
        image
            (H, W, 3) or (B, H, W, 3), or with the channels first: RGB, uint8 or float
            in 0..1. Or the path of a slide or image file.
        mpp
            Of a slide: micrometers per pixel to work at; None: its own pixels.
        settings
            Windows, their overlap and flips.

        Returns
        -------
        array
            (H, W) or (B, H, W) uint8: 0 background, 1..C. Of a slide on the grid of
            ``mpp``.

        Raises
        ------
        DataError
            If the array is no image, or ``mpp`` is given for one.
        SlideError
            If the file cannot be read, or has no pixel size to compare ``mpp`` with.
        """
        chosen = settings or PredictSettings()
        if isinstance(image, (str, Path)):
            return self._predict_slide(Path(image), mpp, chosen)
        if mpp is not None:
            raise DataError(
                "An array has no pixel size, so mpp has no meaning for it.",
                "Resize the image, or pass the path of a slide.",
            )
        pixels = as_numpy(image)
        is_single = pixels.ndim == 3
        images = as_rgb(pixels[None] if is_single else pixels)
        masks = np.stack([self._predict_array(one, chosen) for one in images])
        return np.asarray(masks[0] if is_single else masks)

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
            kind="segmenter",
            class_names=self.class_names,
            step=self.step,
            extra={COMPLETED: self.completed},
        )

    def _predict_array(self, pixels: Masks, settings: PredictSettings) -> Masks:
        return self._predict(lambda box: pixels[box.slices], pixels.shape[:2], settings)

    def _predict_slide(
        self, path: Path, mpp: float | None, settings: PredictSettings
    ) -> Masks:
        slide = open_slide(path)
        try:
            downsample = _downsample(slide, mpp)
            height, width = slide.level_shapes[0]
            grid = Box(0, 0, height, width).scaled(1 / downsample)
            return self._predict(
                lambda box: read_region(
                    slide, box.scaled(downsample), (box.height, box.width)
                ),
                (grid.height, grid.width),
                settings,
            )
        finally:
            slide.close()

    def _predict(
        self, read: Any, shape: tuple[int, int], settings: PredictSettings
    ) -> Masks:
        device = next(self.network.parameters()).device
        mask = np.empty(shape, np.uint8)
        for band in predict_image(
            self.network,
            read,
            shape,
            window_px=settings.window_px,
            overlap_px=settings.overlap_px,
            flips=settings.flips,
            batch_size=settings.batch_size,
            device=device,
            precision=resolve_precision("auto", device),
        ):
            mask[band.box.slices] = band.labels
        return mask


def _downsample(slide: Slide, mpp: float | None) -> float:
    if mpp is None:
        return 1.0
    if mpp <= 0:
        raise DataError(f"mpp cannot be {mpp}.", "Pass micrometers per pixel above 0.")
    if slide.mpp is None:
        raise SlideError(
            f"{slide.path.name} does not say its pixel size.",
            "Leave mpp out, to work at its own pixels.",
        )
    return working_downsample(slide.mpp, mpp)

"""The stain of each image of a project, measured when its first tile is read."""

from segmix_core.geometry import Box
from segmix_core.project.records import ImageRecord
from segmix_core.slides.slide import RgbArray, Slide
from segmix_core.slides.stain import StainNormaliser, measure_stain
from segmix_core.slides.tissue_sample import sample_tissue


class ImageStains:
    """Normalises tiles, each by the stain of its image."""

    def __init__(self) -> None:
        self._known: dict[int, StainNormaliser] = {}

    def normalise(
        self, record: ImageRecord, slide: Slide, box: Box, pixels: RgbArray
    ) -> RgbArray:
        """Return what was read of an image with the colours of the reference.

        Parameters
        ----------
        record, slide
            The image, and its opened file.
        box
            What was read, in level-0 pixels.
        pixels
            (h, w, 3) of the box.

        Raises
        ------
        SlideError
            If the file is damaged where the stain is measured.
        """
        known = self._known.get(record.id)
        if known is None:
            is_whole = (box.height, box.width) == (record.height, record.width)
            seen = pixels if is_whole else sample_tissue(slide, record.downsample)
            known = self._known[record.id] = StainNormaliser(measure_stain(seen))
        return known(pixels)

"""A file that ends the process that opens it."""

import numpy as np
import tifffile


def save_crashing_slide(path):
    """A slide whose damaged sizes make OpenSlide divide by zero."""
    image = np.full((300, 280, 3), 200, np.uint8)
    text = "Aperio Image Library v10.0.51\n300x280 |AppMag = 20|MPP = 0.4990"
    with tifffile.TiffWriter(path) as tiff:
        for step, tile in ((1, (128, 128)), (4, None), (2, (64, 64))):
            tiff.write(
                image[::step, ::step],
                photometric="rgb",
                tile=tile,
                compression="jpeg" if tile else None,
                description=text if tile else "Aperio Image Library thumb",
                metadata=None,
            )
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tiff.pages[0].tags["ImageWidth"].overwrite(280 + 2**16)
        tiff.pages[2].tags["ImageLength"].overwrite(150 + 2**17)
    return path

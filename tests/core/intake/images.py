"""Small images and slides for tests of intake."""

import numpy as np
import tifffile
from PIL import Image

GLASS, PINK = (243, 242, 244), (222, 140, 180)


def save_image(path, size=(64, 64), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    color = PINK if mode == "RGB" else 100
    Image.new(mode, size[::-1], color).save(path)
    return path


def save_slide(path, shape=(1024, 1536), mpp=0.5, fill=PINK):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.full((*shape, 3), GLASS, np.uint8)
    image[:, : shape[1] // 2] = fill
    tags = {"resolution": (10000 / mpp,) * 2, "resolutionunit": 3} if mpp else {}
    tifffile.imwrite(path, image, photometric="rgb", tile=(256, 256), **tags)
    return path

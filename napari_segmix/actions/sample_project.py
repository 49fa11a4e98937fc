"""The sample: a synthetic slide in a project of its own, made once."""

import shutil
from pathlib import Path

import numpy as np
import tifffile
from qtpy.QtCore import QStandardPaths

from segmix_core.intake import add_paths
from segmix_core.project.store import ProjectStore
from segmix_core.sample import CLASS_NAMES, tile_labels, write_sample_slide

PROJECT_NAME = "SegMix sample.segmix"
_SLIDE_NAME = "sample slide.tif"
_MASK_NAME = "sample mask.tif"
_TILE_PX = 256


def sample_folder() -> Path:
    """Return where the sample is kept: the user's cache folder."""
    caches = QStandardPaths.StandardLocation.GenericCacheLocation
    return Path(QStandardPaths.writableLocation(caches)) / "napari-segmix"


def prepare_sample(folder: Path, size: int = 4096) -> Path:
    """Return the sample project in ``folder``; makes it, and the slide, if missing.

    The tiles are labeled as a person would who saw the exact mask, so that training
    can start at once. A project that exists is left as the user left it.
    """
    project = folder / PROJECT_NAME
    if (project / "project.sqlite").exists():
        return project
    folder.mkdir(parents=True, exist_ok=True)
    slide, mask = folder / _SLIDE_NAME, folder / _MASK_NAME
    if not (slide.exists() and mask.exists()):
        write_sample_slide(slide, mask, size=size)
    # Under another name until it is whole: a crash leaves no half-made sample.
    unfinished = folder / f".{PROJECT_NAME}"
    shutil.rmtree(unfinished, ignore_errors=True)
    with ProjectStore.create(unfinished, CLASS_NAMES) as store:
        add_paths(store, [slide], tile_px=min(_TILE_PX, size // 4))
        tiles = store.tiles()
        truth = np.asarray(tifffile.imread(mask), np.uint8)
        states = tile_labels(truth, tiles.boxes, len(CLASS_NAMES))
        store.set_labels(tiles.ids, states)
    return unfinished.rename(project)

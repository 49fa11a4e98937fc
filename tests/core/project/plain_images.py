"""Images of a project without their files."""

from pathlib import Path

import numpy as np

from segmix_core.project.records import NewImage, SourceKind, TilingPlan
from segmix_core.project.store import ProjectStore


def new_image(path: Path, height: int, width: int) -> NewImage:
    return NewImage(
        path=path,
        height=height,
        width=width,
        mpp_y=None,
        mpp_x=None,
        downsample=1.0,
        group="",
        boxes=np.array([[0, 0, height, width]]),
        rows=np.array([0]),
        cols=np.array([0]),
    )


def add_images(store: ProjectStore, folder: Path, names: list[str]) -> None:
    images = [new_image(folder / name, 96, 96) for name in names]
    plan = TilingPlan(96, 96)
    store.add_source(SourceKind.FOLDER, folder, folder.name, plan, images)

"""Images of a project without their files."""

from pathlib import Path

import numpy as np

from segmix_core.project.records import NewImage, SourceKind, TilingPlan
from segmix_core.project.store import ProjectStore


def add_images(store: ProjectStore, folder: Path, names: list[str]) -> None:
    images = [
        NewImage(
            path=folder / name,
            height=96,
            width=96,
            mpp_y=None,
            mpp_x=None,
            downsample=1.0,
            group="",
            boxes=np.array([[0, 0, 96, 96]]),
            rows=np.array([0]),
            cols=np.array([0]),
        )
        for name in names
    ]
    plan = TilingPlan(96, 96)
    store.add_source(SourceKind.FOLDER, folder, folder.name, plan, images)

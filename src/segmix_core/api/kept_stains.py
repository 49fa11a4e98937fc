"""The stains that a training measured, kept for all who ask its network."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from lightning_fabric import Fabric
from pydantic import BaseModel, Field

from segmix_core.errors import JobError
from segmix_core.events import Progress
from segmix_core.files import read_json, write_json
from segmix_core.project.reader import ProjectReader
from segmix_core.slides.group_stains import GroupStains, MeasuredStains
from segmix_core.slides.stain import Stain
from segmix_core.training.task import Listener

_NAME = "stains.json"
_BY_SLIDE = "slides_by_themselves"
_SECONDS = 1.0
"""Between two news about measuring, and between two looks whether to stop."""


def tile_edges(run: Path, project: ProjectReader) -> dict[int, int]:
    """Return the edge of the tiles of each source, in working pixels, by its id.

    Empty for a run that measured stains when slides had those of their case: new
    images get theirs as the others did.
    """
    kept = _read(run)
    if kept is not None and not kept.by_slide:
        return {}
    return {source.id: source.plan.tile_px for source in project.sources()}


def read_stains(run: Path) -> MeasuredStains[int] | None:
    """Return the stains that a run has kept, or None if it has not."""
    kept = _read(run)
    if kept is None:
        return None
    stains = [_stain(value) for value in kept.stains]
    try:
        images = {key: stains[index] for key, index in kept.images.items()}
        return MeasuredStains(images, stains[kept.common])
    except IndexError as error:
        raise _damaged(run) from error


def keep_stains(
    run: Path,
    stains: GroupStains[int] | None,
    image_ids: Sequence[int],
    *,
    fabric: Fabric,
    listener: Listener,
) -> bool:
    """Measure the stains of images, and keep them in ``run``, unless it has them.

    Images and groups that come to the project later must not change the colors that a
    network has learned.

    Returns
    -------
    bool
        False: asked to stop meanwhile; nothing is kept.
    """
    path = run / _NAME
    if stains is None or path.exists():
        return True
    told = time.monotonic()
    for number, image_id in enumerate(image_ids, start=1):
        stains.of(image_id)
        is_time = time.monotonic() - told >= _SECONDS
        if is_time:
            told = time.monotonic()
            text = f"stain of image {number} of {len(image_ids)}"
            listener.emit(Progress(step=0, total=1, message=text))
        # All processes have to agree: the others would wait for one that ends.
        if fabric.broadcast(is_time and listener.should_stop()):
            return False
    if fabric.is_global_zero:
        write_json(path, _content(stains.measured()))
    return True


def _content(measured: MeasuredStains[int]) -> dict[str, Any]:
    """Return JSON with each stain once, and its number for each image."""
    stains = list(dict.fromkeys([*measured.images.values(), measured.common]))
    number = {stain: index for index, stain in enumerate(stains)}
    return {
        _BY_SLIDE: True,
        "stains": [asdict(stain) if stain else None for stain in stains],
        "images": {key: number[stain] for key, stain in measured.images.items()},
        "common": number[measured.common],
    }


_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Three = tuple[_Finite, _Finite, _Finite]


class _KeptStain(BaseModel):
    mean: _Three
    deviation: _Three


class _Kept(BaseModel):
    """What a run keeps of stains."""

    by_slide: bool = Field(False, alias=_BY_SLIDE)
    stains: list[_KeptStain | None]
    images: dict[int, Annotated[int, Field(ge=0)]]
    common: Annotated[int, Field(ge=0)]


def _read(run: Path) -> _Kept | None:
    try:
        return _Kept.model_validate(read_json(run / _NAME))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise _damaged(run) from error


def _damaged(run: Path) -> JobError:
    return JobError(f"{run / _NAME} is damaged.", "Train again.")


def _stain(kept: _KeptStain | None) -> Stain | None:
    return None if kept is None else Stain(kept.mean, kept.deviation)

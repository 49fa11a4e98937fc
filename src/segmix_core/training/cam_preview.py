"""Preview the maps of some tiles during training."""

from collections.abc import Mapping

import numpy as np
import torch

from segmix_core.data.batch import Batch
from segmix_core.models.cam import keep_present_classes, normalize_cam
from segmix_core.models.cam_classifier import CamClassifier
from segmix_core.models.shared_maps import reassign_absent
from segmix_core.training.task import PreviewArrays

# If a batch had to be split to fit into memory, all preview tiles do not fit either.
_AT_ONCE = 4


def preview_cams(
    module: CamClassifier, tiles: Batch | None
) -> Mapping[str, PreviewArrays]:
    """Return the maps of tiles as "cam", if there are any tiles.

    ``cams`` is (B, C, h, w) uint8: 255 is the strongest score of the tile; classes
    known to be absent are 0. ``tile_ids`` is (B,) int64.

    Parameters
    ----------
    module
        The classifier; its training mode is restored.
    tiles
        On any device.
    """
    if tiles is None:
        return {}
    device = next(module.parameters()).device
    was_training = module.training
    module.eval()
    try:
        with torch.no_grad():
            cam = torch.cat(
                [
                    module.show(module(images.to(device)).cam.float()).cpu()
                    for images in tiles.images.split(_AT_ONCE)
                ]
            )
    finally:
        module.train(was_training)
    possible = tiles.labels.cpu() != 0
    if module.shared_foreground:
        pairs = zip(cam.numpy(), possible.numpy(), strict=True)
        cam = torch.from_numpy(np.stack([reassign_absent(*pair) for pair in pairs]))
    shown = keep_present_classes(cam, possible)
    cams = (255 * normalize_cam(shown)).round().to(torch.uint8)
    ids = tiles.tile_ids.cpu().numpy()
    return {"cam": {"cams": cams.numpy(), "tile_ids": ids}}

import json

import numpy as np
import pytest
from PIL import Image

from segmix_core.errors import JobError
from segmix_core.export.label_png import write_label_png

LABELS = np.array([[0, 1, 2], [255, 2, 1]], np.uint8)


@pytest.mark.parametrize(("palette", "mode"), [(False, "L"), (True, "P")])
def test_indices_survive_with_and_without_palette(tmp_path, info, palette, mode):
    path = tmp_path / "new" / "ä [1 0].png"
    sidecar = write_label_png(path, LABELS, info=info, palette=palette)
    with Image.open(path) as image:
        assert image.mode == mode
        np.testing.assert_array_equal(np.asarray(image), LABELS)
        colors = np.asarray(image.convert("RGB"))
    if palette:
        assert colors[0].tolist() == [[0, 0, 0], [255, 0, 0], [0, 255, 128]]
    assert sidecar.name == "ä [1 0].classes.json"
    content = json.loads(sidecar.read_text(encoding="utf-8"))
    assert content["classes"]["2"] == {"name": "Drüse", "color": "#00ff80"}


def test_unwritable_place_is_told(tmp_path, info):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(JobError, match="folder can be written"):
        write_label_png(tmp_path / "file" / "a.png", LABELS, info=info)


def test_wrong_arguments_are_refused(tmp_path, info):
    with pytest.raises(ValueError, match=r"ending in \.png"):
        write_label_png(tmp_path / "a.tif", LABELS, info=info)
    for labels in (LABELS[None], LABELS.astype(np.int64)):
        with pytest.raises(ValueError, match=r"\(H, W\) uint8"):
            write_label_png(tmp_path / "a.png", labels, info=info)

"""What napari sees of the plugin."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from npe2 import PluginManifest
from PIL import Image

import napari_segmix
from napari_segmix._reader import get_reader, read_project
from napari_segmix._writer import write_mask
from napari_segmix.layers.own_layers import find_layers, tag
from napari_segmix.preferences import Preferences, read_preferences
from napari_segmix.session import session_for
from segmix_core.errors import ProjectError
from segmix_core.export.label_tiff import read_label_tiff_classes
from segmix_core.project.store import ProjectStore

MANIFEST = Path(napari_segmix.__file__).with_name("napari.yaml")


def test_the_manifest_is_valid_and_its_commands_exist() -> None:
    manifest = PluginManifest.from_file(MANIFEST)
    manifest.validate_imports()
    titles = [command.title for command in manifest.contributions.commands]
    assert "Open SegMix dock" in titles
    assert len(set(titles)) == len(titles)


def test_commands_open_one_dock(
    make_napari_viewer_proxy: Any, npe2pm: Any, qtbot: Any
) -> None:
    from napari_segmix._commands import label_tiles, open_dock

    viewer = make_napari_viewer_proxy()
    with npe2pm.tmp_plugin(package="napari-segmix"):
        open_dock(viewer)
        label_tiles(viewer)
        docks = [name for name in viewer.window.dock_widgets if "SegMix" in name]
        assert len(docks) == 1
        dock = viewer.window.dock_widgets[docks[0]]
        assert dock.page_shown == "Label"
    session_for(viewer).close()


def test_a_project_folder_is_read_into_the_dock(
    make_napari_viewer_proxy: Any, npe2pm: Any, tmp_path: Path, qtbot: Any
) -> None:
    path = tmp_path / "p.segmix"
    ProjectStore.create(path, ["gland"]).close()
    viewer = make_napari_viewer_proxy()
    with npe2pm.tmp_plugin(package="napari-segmix"):
        viewer.open(str(path), plugin="napari-segmix")
        session = session_for(viewer)
        qtbot.waitUntil(lambda: session.model.project.path == path)
        assert len(viewer.layers) == 0
    session.close()


def test_other_paths_are_left_to_others(tmp_path: Path) -> None:
    assert get_reader(str(tmp_path)) is None
    assert get_reader([str(tmp_path)]) is None


def test_reading_without_a_viewer_says_what_to_do(tmp_path: Path, qtbot: Any) -> None:
    with pytest.raises(ProjectError, match="Start napari"):
        read_project(str(tmp_path))


def test_the_sample_opens_in_the_dock(
    make_napari_viewer_proxy: Any,
    npe2pm: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    qtbot: Any,
) -> None:
    from napari_segmix.actions import sources
    from napari_segmix.actions.sample_project import prepare_sample

    monkeypatch.setattr(sources, "sample_folder", lambda: tmp_path)
    monkeypatch.setattr(
        sources, "prepare_sample", lambda folder: prepare_sample(folder, 512)
    )
    viewer = make_napari_viewer_proxy()
    with npe2pm.tmp_plugin(package="napari-segmix"):
        viewer.open_sample("napari-segmix", "slide")
        assert [layer.name for layer in viewer.layers] == ["Opening the sample slide"]
        session = session_for(viewer)
        qtbot.waitUntil(lambda: session.canvas.view is not None, timeout=20_000)
        assert find_layers(viewer, "waiting") == []
        assert session.model.project.label_counts.labeled > 0
    session.close()


def test_the_sample_without_a_viewer_does_nothing(qtbot: Any) -> None:
    from napari_segmix._sample_data import open_sample

    assert len(open_sample()) == 1


MASK = np.array([[0, 1, 2], [255, 2, 1]], np.int64)


def meta(**changes: Any) -> dict[str, Any]:
    return {
        "name": "mask",
        "scale": (0.5, 0.5),
        "units": ("micrometer", "micrometer"),
        "metadata": {},
        **changes,
    }


@pytest.mark.parametrize("name", ["m.tif", "m.ome.tif", "m.png"])
def test_masks_are_written(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    assert write_mask(str(path), MASK, meta()) == [str(path)]
    if name.endswith("png"):
        with Image.open(path) as image:
            values = np.asarray(image)
    else:
        values = tifffile.imread(path)
        assert read_label_tiff_classes(path)[1] == "class 1"
    assert np.array_equal(values, MASK)
    assert values.dtype == np.uint8


def test_class_names_and_pixel_size_go_along(tmp_path: Path) -> None:
    path = tmp_path / "m.tif"
    content = tag("masks", classes={1: "gland", 2: "stroma"})
    write_mask(str(path), [MASK, MASK[:1]], meta(metadata=content))
    assert read_label_tiff_classes(path)[2] == "stroma"
    with tifffile.TiffFile(path) as tiff:
        numerator, denominator = tiff.pages.first.tags["XResolution"].value
    assert numerator / denominator == pytest.approx(20000)
    sidecar = json.loads((tmp_path / "m.classes.json").read_text(encoding="utf-8"))
    assert sidecar


def test_a_layer_in_pixels_has_no_size(tmp_path: Path) -> None:
    path = tmp_path / "m.tif"
    write_mask(str(path), MASK, meta(units=("pixel", "pixel")))
    with tifffile.TiffFile(path) as tiff:
        tags = tiff.pages.first.tags
        assert "XResolution" not in tags or tags["ResolutionUnit"].value == 1


@pytest.mark.parametrize(
    ("data", "content", "words"),
    [
        (MASK, tag("tiles"), "Export page"),
        (np.zeros((2, 2, 2), int), {}, "not two dimensions"),
        (np.array([[0, 256]]), {}, "0 to 255"),
        (np.array([[-1, 2]]), {}, "0 to 255"),
    ],
)
def test_what_is_no_mask_is_refused(
    tmp_path: Path, data: Any, content: dict[str, Any], words: str
) -> None:
    with pytest.raises(ProjectError, match=words):
        write_mask(str(tmp_path / "m.tif"), data, meta(metadata=content))
    assert not list(tmp_path.iterdir())


def test_preferences_are_read(plugin_settings: Any, npe2pm: Any) -> None:
    assert read_preferences() == Preferences()
    with npe2pm.tmp_plugin(package="napari-segmix"):
        from napari.settings import get_plugin_settings

        settings = get_plugin_settings("napari-segmix")
        assert read_preferences() == Preferences()
        settings.jobs.cpu_threads = 3
        settings.jobs.python = "/usr/bin/python3"
        settings.images.tile_px = 128
        assert read_preferences() == Preferences("/usr/bin/python3", 3, 128)


def test_importing_the_plugin_loads_no_torch() -> None:
    code = (
        "import sys, napari_segmix.session, napari_segmix._writer\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

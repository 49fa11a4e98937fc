"""Drives the whole loop in a real napari window, and keeps a picture of each step.

Usage::

    python scripts/walkthrough.py slide CMU-1-Small-Region.svs OUT
    python scripts/walkthrough.py folder wbc_tecom OUT

``slide`` labels tiles of OpenSlide's test slide CMU-1-Small-Region (skin, CC0) as
epidermis and dermis; ``folder`` imports the labels.csv of a folder with images/. Runs
on the screen it is started on; ``xvfb-run`` gives it a virtual one.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import napari
import numpy as np
import openslide
import tifffile
from PIL import Image
from qtpy.QtWidgets import QApplication, QPushButton

from napari_segmix.layers.mask_layer import WINDOW
from napari_segmix.layers.own_layers import find_layers
from napari_segmix.model.label_edits import PaintMode
from napari_segmix.session import Session, session_for
from segmix_core.export.label_tiff import read_label_tiff_classes
from segmix_core.runs import RunFolder

MINUTES = 60.0
# Read off an overview of the slide (skin), checked by no pathologist: tiles of 128 px
# at 0.5 µm, row -> columns.
EPIDERMIS = {
    5: [8, 9, 10], 6: [8, 9, 10, 11], 7: [8, 9, 10, 11], 8: [8, 9, 10], 9: [8, 9],
    10: [9], 11: [8], 12: [8, 9], 13: [7, 8, 9], 14: [7, 8, 9, 10], 15: [6, 8, 9, 10],
    16: [6, 8, 9, 10], 17: [6, 8, 9, 10], 18: [6, 9], 19: [5, 9, 12, 13],
    20: [5, 12], 21: [4, 5, 6, 12], 22: [4, 5, 11, 12],
}  # fmt: skip
DERMIS = {
    5: [8], 6: [7, 8], 7: [7, 8], 8: [7, 8], 9: [7, 8], 10: [7, 8], 11: [6, 7, 8],
    12: [7, 8], 13: [7, 8], 14: [6, 7, 8], 15: [6, 7, 8, 10, 12, 13],
    16: [6, 7, 8, 10, 11, 12, 13], 17: [6, 7, 8, 10, 11, 12, 13],
    18: [5, 6, 7, 8, 9, 10, 11, 12], 19: [5, 7, 8, 9, 10, 11, 12, 13],
    20: [5, 7, 8, 9, 10, 11, 12], 21: [4, 5, 6, 7, 8, 9, 10, 12],
    22: [4, 5, 7, 8, 9, 10, 11, 12],
}  # fmt: skip


class Walk:
    """A window, and what a person does in it."""

    def __init__(self, out: Path) -> None:
        self.out = out
        out.mkdir(parents=True, exist_ok=True)
        self.viewer = napari.Viewer(show=True)
        self.viewer.window.resize(1600, 1000)
        _, self.dock = self.viewer.window.add_plugin_dock_widget(
            "napari-segmix", "SegMix"
        )
        self.session: Session = session_for(self.viewer)
        self.session.model.notices.message.connect(
            lambda text, *_: print("  says:", text)
        )

    def wait(self, ready: Callable[[], object], what: str, seconds: float = 60) -> None:
        """Let the window live until ``ready``."""
        until = time.monotonic() + seconds
        while not ready():
            if time.monotonic() > until:
                raise TimeoutError(f"Waited {seconds} s for: {what}")
            QApplication.processEvents()
            time.sleep(0.02)

    def rest(self, seconds: float) -> None:
        """Let the window live for a while."""
        until = time.monotonic() + seconds
        self.wait(lambda: time.monotonic() > until, "time", seconds + 5)

    def picture(self, name: str) -> None:
        """Keep a picture of the window."""
        self.rest(1.0)
        path = self.out / f"{name}.png"
        pixels = self.viewer.screenshot(canvas_only=False, flash=False)
        # 256 colors are enough for a window, and a third of the bytes.
        Image.fromarray(pixels[..., :3]).quantize(256).save(path, optimize=True)
        print("picture:", path)

    def run(self, button: QPushButton, seconds: float = 20 * MINUTES) -> None:
        """Press a start button and wait for its last stage to complete."""
        runs = self.session.actions.runs
        button.click()
        self.wait(lambda: runs.is_following, "the run to start", 60)
        # Between two stages of a button nothing is followed for a moment.
        idle_since = time.monotonic()

        def is_done() -> bool:
            nonlocal idle_since
            if runs.is_following or self.session.model.runs.is_running:
                idle_since = time.monotonic()
            return time.monotonic() - idle_since > 2

        self.wait(is_done, "the run", seconds)
        current = self.session.model.runs.followed
        print("  run:", current and (current.stage, current.state, current.step))

    def add(self, path: Path, **options: object) -> None:
        """Add a slide or folder on the Data page."""
        self.session.actions.sources.add([path], **options)
        self.wait(lambda: self.session.canvas.view is not None, f"{path} to be shown")
        self.rest(2)

    def train(self, name: str, **settings: object) -> None:
        """Train, and take pictures while it runs."""
        self.session.page_requested.emit("Train")
        page = self.dock.pages["Train"]
        page.box.form.set_values(settings)
        page.box.start_button.click()
        shown = lambda role: find_layers(self.viewer, role)  # noqa: E731
        self.wait(lambda: shown("shuffled"), "a shuffled batch", 5 * MINUTES)
        self.wait(lambda: shown("cam"), "a CAM", 10 * MINUTES)
        self.rest(8)
        self.session.actions.pictures.outline_moved_patches(True)
        self.viewer.reset_view()
        self.picture(f"{name}-train")
        self.wait(
            lambda: not self.session.actions.runs.is_following, "training", 30 * MINUTES
        )
        self.picture(f"{name}-trained")

    def make_masks(self, name: str, **settings: object) -> None:
        """Make pseudo masks and open the most doubtful one."""
        self.session.page_requested.emit("Masks")
        page = self.dock.pages["Masks"]
        page.making.form.set_values(settings)
        self.run(page.making.start_button)
        self.wait(
            lambda: self.session.model.masks.doubtful(1), "the list of doubtful tiles"
        )
        self.viewer.reset_view()
        self.picture(f"{name}-pseudo-masks")

    def correct(self, name: str, class_index: int) -> None:
        """Paint a stroke of a class into the most doubtful tile, and accept it."""
        masks, store = self.session.actions.masks, self.session.model.project.require()
        masks.next_doubtful()
        self.wait(lambda: masks.correction.is_open, "the correction window")
        self.rest(1)
        masks.correction.paint_with(class_index)
        [layer] = find_layers(self.viewer, WINDOW)
        before = store.revision
        middle = np.array(layer.data.shape) / 2
        layer.brush_size = 24
        for shift in range(-30, 31, 6):
            layer.paint(tuple(middle + np.array([0, shift])), layer.selected_label)
        self.wait(lambda: store.revision > before, "the stroke to be stored")
        self.picture(f"{name}-correct")
        masks.accept()
        print("  review:", masks.review_counts())

    def segment(self, name: str, **settings: object) -> None:
        """Train the segmenter, predict, and show the prediction."""
        page = self.dock.pages["Masks"]
        page.segmenter.form.set_values(settings)
        self.run(page.segmenter.start_button)
        self.run(page.prediction.start_button)
        self.rest(3)
        self.viewer.reset_view()
        self.picture(f"{name}-prediction")

    def export(self, name: str) -> list[Path]:
        """Export in both layouts; return the files."""
        self.session.page_requested.emit("Export")
        page = self.dock.pages["Export"]
        files: list[Path] = []
        for layout in ("ome", "generic"):
            page.format.value = layout
            self.run(page.export_button)
            ended = RunFolder(self.session.model.runs.followed.path).ended()
            files += [Path(file) for file in ended.results["files"]]
        self.picture(f"{name}-export")
        return files


def check_files(files: list[Path]) -> list[dict[str, object]]:
    """Open exported files with other programs' readers; return what they say."""
    found: list[dict[str, object]] = []
    for path in files:
        with tifffile.TiffFile(path) as tiff:
            series = tiff.series[0]
            entry: dict[str, object] = {
                "file": path.name,
                "levels": [level.shape for level in series.levels],
                "values": np.unique(series.asarray()).tolist(),
                "classes": read_label_tiff_classes(path),
            }
            if tiff.is_ome:
                pixels = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]["Pixels"]
                entry["mpp by OME"] = pixels.get("PhysicalSizeX")
        if not path.name.endswith(".ome.tif"):
            with openslide.OpenSlide(path) as slide:
                entry["levels by OpenSlide"] = slide.level_dimensions
                entry["mpp by OpenSlide"] = slide.properties.get("openslide.mpp-x")
        found.append(entry)
    return found


def label_slide(walk: Walk) -> None:
    """Paint the labels a person gave, class by class, with napari's brush."""
    session = walk.session
    session.page_requested.emit("Label")
    [layer] = find_layers(walk.viewer, "tiles")
    table = session.model.project.tiles
    known = set(zip(table.rows.tolist(), table.cols.tolist(), strict=True))
    layer.brush_size = 1
    for class_index, places in ((1, EPIDERMIS), (2, DERMIS)):
        other = EPIDERMIS if class_index == 2 else {}
        session.actions.labels.choose_class(class_index)
        for row, cols in places.items():
            for col in cols:
                if (row, col) not in known:
                    continue
                both = col in other.get(row, [])
                session.actions.labels.choose_mode(
                    PaintMode.ADD if both else PaintMode.ONLY
                )
                layer.paint((row, col), layer.selected_label)
                QApplication.processEvents()
    counts = session.model.project.label_counts
    print("  labeled:", counts.labeled, "of", counts.total)


def walk_slide(slide: Path, out: Path) -> list[Path]:
    """The loop on one slide."""
    walk = Walk(out)
    walk.session.actions.projects.create(out / "slide.segmix", ["epidermis", "dermis"])
    walk.add(slide, tile_px=128)
    walk.picture("slide-data")
    label_slide(walk)
    walk.picture("slide-label")
    walk.train("slide", **{"train.epochs": 30, "train.batch_size": 8})
    walk.make_masks("slide")
    walk.correct("slide", 1)
    walk.segment("slide", **{"segmenter.epochs": 12})
    files = walk.export("slide")
    walk.viewer.close()
    return files


def walk_folder(folder: Path, out: Path) -> list[Path]:
    """The loop on a folder of tiles with labels.csv."""
    walk = Walk(out)
    names = (folder / "classes.csv").read_text(encoding="utf-8").splitlines()[2:]
    walk.session.actions.projects.create(
        out / "folder.segmix", [line.split(",")[1] for line in names]
    )
    walk.add(folder / "images")
    walk.session.actions.sources.import_labels(folder / "labels.csv")
    walk.wait(lambda: walk.session.model.project.label_counts.labeled > 0, "the labels")
    walk.rest(5)
    walk.picture("folder-data")
    walk.session.page_requested.emit("Label")
    walk.picture("folder-label")
    background = {"pseudo_masks.background": "score"}
    walk.train("folder", **background)
    walk.make_masks("folder", **background)
    walk.correct("folder", 1)
    walk.segment("folder")
    files = walk.export("folder")
    walk.viewer.close()
    return files[:1] + files[-1:]


def main() -> int:
    """Walk, check the files, and print what was found as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=["slide", "folder"])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    walk = walk_slide if options.kind == "slide" else walk_folder
    files = walk(options.data, options.out)
    print(json.dumps(check_files(files), indent=1, default=str))
    return 0


if __name__ == "__main__":
    sys.exit(main())

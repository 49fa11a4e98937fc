"""The whole loop through the dock, with real child processes and real files."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openslide
import pytest
import tifffile

from napari_segmix.layers.mask_layer import WINDOW
from napari_segmix.layers.own_layers import find_layers
from napari_segmix.model.label_edits import PaintMode
from napari_segmix.widgets.dock import SegMixDock
from segmix_core.export.label_tiff import read_label_tiff_classes
from segmix_core.project.store import ProjectStore
from segmix_core.runs import RunFolder, RunState

TILE_PX, TILES = 64, 6
STAGE_MS = 240_000


@pytest.fixture
def slide_path(tmp_path: Path) -> Path:
    """A slide whose left half is dark spots and whose right half is stripes."""
    edge = TILE_PX * TILES
    rng = np.random.default_rng(0)
    image = rng.normal((190, 120, 170), 10, (edge, edge, 3))
    y, x = np.mgrid[:edge, :edge]
    spots = (np.hypot(y % 16 - 8, x % 16 - 8) < 5) & (x < edge // 2)
    stripes = (y % 12 < 5) & (x >= edge // 2)
    image[spots] -= 90
    image[stripes] += (40, -60, 0)
    path = tmp_path / "slide é [1].tif"
    per_cm = 10_000 / 0.5
    tifffile.imwrite(
        path,
        image.clip(0, 255).astype(np.uint8),
        tile=(128, 128),
        photometric="rgb",
        resolution=(per_cm, per_cm),
        resolutionunit="CENTIMETER",
    )
    return path


@pytest.fixture
def dock(
    make_napari_viewer_proxy: Callable[..., Any],
    npe2pm: Any,
    monkeypatch: pytest.MonkeyPatch,
    qtbot: Any,
) -> Iterator[Any]:
    monkeypatch.setenv("NAPARI_ENSURE_PLUGIN_MAIN_THREAD", "1")
    with npe2pm.tmp_plugin(package="napari-segmix"):
        dock = SegMixDock(make_napari_viewer_proxy())
        qtbot.addWidget(dock)
        # Pages that cannot be seen do nothing.
        dock.show()
        yield dock
        dock.session.close()


@pytest.mark.timeout(900)
def test_open_label_train_look_correct_segment_export(
    dock: Any, qtbot: Any, slide_path: Path, tmp_path: Path
) -> None:
    session, pages = dock.session, dock.pages
    session.actions.projects.create(tmp_path / "loop.segmix", ["spots", "stripes"])
    session.actions.sources.add([slide_path], tile_px=TILE_PX, min_tissue=0.0)
    qtbot.waitUntil(lambda: session.canvas.view is not None, timeout=20_000)
    store = session.model.project.require()

    _paint_labels(session)
    assert session.model.project.label_counts.labeled == TILES * TILES

    session.page_requested.emit("Train")
    training = {"train.epochs": 8, "train.batch_size": 6, "train.width": 16}
    _run(session, pages["Train"].box, training, qtbot)
    assert find_layers(session.viewer, "shuffled")
    assert len(find_layers(session.viewer, "cam")) == 2

    session.page_requested.emit("Masks")
    masks = pages["Masks"]
    _run(session, masks.making, {"pseudo_masks.background": "none"}, qtbot)
    _correct_most_doubtful(session, qtbot)
    corrected = store.corrected_tiles()
    assert len(corrected) == 1

    _run(
        session,
        masks.segmenter,
        {"segmenter.epochs": 15, "segmenter.batch_size": 6},
        qtbot,
    )
    _run(session, masks.prediction, {"predict.window_px": 256}, qtbot)
    session.page_requested.emit("Export")
    pages["Export"].format.value = "generic"
    _press(session, pages["Export"].export_button, qtbot)
    # The scores below are the segmenter's, not those of the masks it learned from.
    assert list(RunFolder(session.model.runs.followed.path).request().inputs) == [
        "predict"
    ]
    exported = store.exports_path / f"{slide_path.stem}.tif"
    _check_export(exported, store.images()[0].working_shape)
    session.actions.projects.close()

    with ProjectStore.open(tmp_path / "loop.segmix") as reopened:
        assert (reopened.tiles().labels >= 0).all()
        np.testing.assert_array_equal(reopened.corrected_tiles(), corrected)


def _run(session: Any, box: Any, settings: dict[str, object], qtbot: Any) -> None:
    box.form.set_values(settings)
    _press(session, box.start_button, qtbot)


def _press(session: Any, button: Any, qtbot: Any) -> None:
    """Press a start button and wait until all its stages are done."""
    runs = session.model.runs
    before = runs.followed
    qtbot.waitUntil(button.isEnabled, timeout=10_000)
    button.click()
    qtbot.waitUntil(lambda: runs.followed != before, timeout=30_000)
    qtbot.waitUntil(_stays_idle(session), timeout=STAGE_MS)
    assert runs.followed.state is RunState.COMPLETED, runs.followed.message


def _stays_idle(session: Any) -> Callable[[], bool]:
    """Return a test that is true once nothing was followed for a second."""
    calm = 0

    def is_busy() -> bool:
        return session.actions.runs.is_following or session.model.runs.is_running

    def is_idle() -> bool:
        nonlocal calm
        # waitUntil asks every 10 ms; between two stages there is a short gap.
        calm = 0 if is_busy() else calm + 1
        return calm > 100

    return is_idle


def _paint_labels(session: Any) -> None:
    [layer] = find_layers(session.viewer, "tiles")
    layer.brush_size = 1
    session.actions.labels.choose_mode(PaintMode.ONLY)
    for class_index, cols in ((1, range(TILES // 2)), (2, range(TILES // 2, TILES))):
        session.actions.labels.choose_class(class_index)
        for col in cols:
            for row in range(TILES):
                layer.paint((row, col), layer.selected_label)
    # The middle shows both: two columns get the other class as well.
    session.actions.labels.choose_mode(PaintMode.ADD)
    session.actions.labels.choose_class(2)
    layer.paint((0, TILES // 2 - 1), layer.selected_label)


def _correct_most_doubtful(session: Any, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: bool(session.model.masks.doubtful(1)), timeout=10_000)
    session.actions.masks.next_doubtful()
    qtbot.waitUntil(lambda: session.model.masks.is_open, timeout=10_000)
    revision = session.model.project.require().revision
    [window] = find_layers(session.viewer, WINDOW)
    middle = np.array(window.data.shape) // 2
    # Another class than the mask has there: what changes nothing is not stored.
    drawn = int(window.data[tuple(middle)])
    session.actions.correction.paint_with(1 if drawn == 2 else 2)
    window.brush_size = 8
    window.paint(tuple(middle), window.selected_label)
    qtbot.waitUntil(
        lambda: session.model.project.require().revision > revision, timeout=5_000
    )
    session.actions.masks.accept()


def _check_export(path: Path, shape: tuple[int, int]) -> None:
    with tifffile.TiffFile(path) as tiff:
        labels = tiff.series[0].asarray()
    assert labels.shape == shape
    assert set(np.unique(labels)) <= {1, 2, 255}
    classes = read_label_tiff_classes(path)
    assert (classes[1], classes[2]) == ("spots", "stripes")
    with openslide.OpenSlide(path) as slide:
        assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(0.5, 1e-3)
        assert slide.dimensions == shape[::-1]
    # Learned from labels alone: most of each half has its class; chance is a half.
    edge = shape[1] // 2
    assert (labels[:, :edge] == 1).mean() > 0.6
    assert (labels[:, edge:] == 2).mean() > 0.6

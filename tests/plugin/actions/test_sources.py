from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_segmix.session import Session
from segmix_core.project.records import NewImage, SourceKind, TilingPlan
from segmix_core.slides.first_look import FirstLook
from tests.plugin.conftest import InlineExecutor, InlineTask

TILE_PX = 64
Messages = list[tuple[str, str]]


def test_a_slide_is_added_and_shown(slide_session: Session) -> None:
    assert [source.name for source in slide_session.model.project.sources] == [
        "slide.tif"
    ]
    assert slide_session.model.project.active_source is not None
    assert slide_session.model.notices.busy == ""


def test_the_new_source_is_shown_instead_of_the_old(
    slide_session: Session, tile_folder: Path
) -> None:
    slide_session.actions.sources.add([tile_folder])
    assert slide_session.model.project.active_source is not None
    assert (
        slide_session.model.project.active_source.name
        == slide_session.model.project.sources[1].name
    )
    assert len(slide_session.viewer.layers) == 4


def test_adding_twice_is_refused(
    slide_session: Session, slide_file: Path, messages: Messages
) -> None:
    slide_session.actions.sources.add([slide_file], tile_px=TILE_PX)
    assert messages[-1][1] == "error"
    assert len(slide_session.model.project.sources) == 1


def test_an_unreadable_file_is_told_by_adding(
    project: Session, tmp_path: Path, messages: Messages
) -> None:
    broken = tmp_path / "broken.svs"
    broken.write_bytes(b"nothing")
    project.actions.sources.add([broken])
    assert messages[-1][1] == "error"
    assert "broken.svs" in messages[-1][0]


def test_a_slide_without_pixel_size_asks_first(
    project: Session, bare_slide: Path
) -> None:
    asked = []
    project.actions.sources.mpp_needed.connect(
        lambda paths, options: asked.append(options)
    )
    project.actions.sources.add([bare_slide], tile_px=TILE_PX)
    assert asked == [{"tile_px": TILE_PX}]
    assert project.model.project.sources == ()
    assert project.actions.sources.last_mpp is None
    project.actions.sources.add([bare_slide], slide_mpp=0.25, **asked[0])
    assert project.model.project.store is not None
    assert project.model.project.store.images()[0].mpp == 0.25
    assert project.actions.sources.last_mpp == 0.25


def test_a_pixel_size_may_stay_unknown(project: Session, bare_slide: Path) -> None:
    project.actions.sources.add([bare_slide], asks_mpp=False, tile_px=TILE_PX)
    assert project.model.project.placement is not None
    assert project.model.project.placement.unit == "pixel"
    assert project.actions.sources.last_mpp is None


def test_small_images_are_not_asked(project: Session, tile_folder: Path) -> None:
    files = sorted(tile_folder.iterdir())
    project.actions.sources.add(files)
    assert project.model.project.tiles is not None
    assert len(project.model.project.tiles) == 7


def test_labels_are_imported_and_drawn(
    project: Session, tile_folder: Path, tmp_path: Path, messages: Messages
) -> None:
    project.actions.sources.add([tile_folder])
    file = tmp_path / "labels.csv"
    file.write_text(
        "filename,is_gland,is_stroma,is_lymphoid\ntile0.png,1,0,0\ntile6.png,0,1,1\n",
        encoding="utf-8",
    )
    project.actions.sources.import_labels(file)
    assert project.model.project.tiles is not None
    assert project.model.project.tiles.labels[[0, 6]].tolist() == [
        [1, 0, 0],
        [0, 1, 1],
    ]
    assert project.canvas.view is not None
    assert np.count_nonzero(project.canvas.view.tile_layer.layer.data) == 2
    assert "2 tiles" in messages[-1][0]
    file.write_text("filename,is_fat\ntile0.png,1\n", encoding="utf-8")
    project.actions.sources.import_labels(file)
    assert messages[-1][1] == "error"


def test_the_sample_is_made_once(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_segmix.actions import sources
    from napari_segmix.actions.sample_project import prepare_sample

    made = []

    def small(folder: Path) -> Path:
        made.append(folder)
        return prepare_sample(folder, size=512)

    monkeypatch.setattr(sources, "prepare_sample", small)
    monkeypatch.setattr(sources, "sample_folder", lambda: tmp_path / "cache")
    unfinished = tmp_path / "cache" / ".SegMix sample.segmix"
    unfinished.mkdir(parents=True)
    (unfinished / "project.sqlite").write_text("killed while it was made")
    session.actions.sources.open_sample()
    assert not unfinished.exists()
    assert session.model.project.label_counts.labeled > 0
    session.actions.labels.clear(np.array([0]))
    left = session.model.project.label_counts
    session.actions.projects.close()
    session.actions.sources.open_sample()
    assert session.model.project.label_counts == left
    assert len(made) == 2


def test_a_file_that_crashes_its_reader_is_only_named(
    project: Session, slide_file: Path, crashing_slide: Path, messages: Messages
) -> None:
    project.actions.sources.add([crashing_slide, slide_file], tile_px=TILE_PX)
    assert [source.name for source in project.model.project.sources] == ["slide.tif"]
    text, level = messages[-1]
    assert level == "warning"
    assert "crash.svs crashes the library that reads it" in text


def test_a_pixel_size_is_set_and_taken_back(
    slide_session: Session, messages: Messages
) -> None:
    assert slide_session.model.project.active_source is not None
    source_id = slide_session.model.project.active_source.id
    slide_session.actions.sources.set_mpp(source_id, 0.25)
    assert slide_session.model.project.placement is not None
    assert slide_session.model.project.placement.pixel_size == 0.25
    assert slide_session.canvas.view is not None
    (layer,) = [x for x in slide_session.viewer.layers if x.name == "slide.tif"]
    assert layer.scale.tolist() == [0.25, 0.25]
    assert "to 0.25 µm" in messages[-1][0]
    slide_session.actions.history.undo("labels")
    assert slide_session.model.project.pixel_size(source_id) == pytest.approx(
        (0.5, 0.5)
    )
    assert slide_session.model.project.placement.pixel_size == pytest.approx(0.5)
    slide_session.actions.sources.set_mpp(source_id, 5000)
    assert messages[-1][1] == "error"


def test_changed_files_are_told_when_a_project_is_opened(
    project: Session, tile_folder: Path, messages: Messages
) -> None:
    project.actions.sources.add([tile_folder])
    path = tile_folder / "tile2.png"
    path.write_bytes((tile_folder / "tile1.png").read_bytes())
    assert project.model.project.path is not None
    project.actions.projects.open(project.model.project.path)
    text, level = messages[-1]
    assert (text.split(" on ")[0], level) == ("tile2.png has changed", "warning")
    assert [image.path for image in project.model.project.changed_files] == [path]
    project.actions.sources.accept_files(project.model.project.sources[0].id)
    assert project.model.project.changed_files == ()
    project.actions.history.undo("labels")
    assert [image.path for image in project.model.project.changed_files] == [path]


def test_an_accepted_file_of_another_pixel_size_is_told(
    slide_session: Session, slide_file: Path, messages: Messages
) -> None:
    pixels = tifffile.imread(slide_file)
    tifffile.imwrite(
        slide_file, pixels, photometric="rgb", resolution=(1e4, 1e4), resolutionunit=3
    )
    slide_session.actions.sources.check_files()
    slide_session.actions.sources.accept_files(
        slide_session.model.project.sources[0].id
    )
    text, level = messages[-1]
    assert level == "warning"
    assert "slide.tif states 1 µm per pixel now, and the project keeps 0.5" in text


def test_a_file_that_is_gone_cannot_be_accepted(
    project: Session, tile_folder: Path, messages: Messages
) -> None:
    project.actions.sources.add([tile_folder])
    path = tile_folder / "tile2.png"
    path.write_bytes(b"other")
    project.actions.sources.check_files()
    path.unlink()
    project.actions.sources.accept_files(project.model.project.sources[0].id)
    assert messages[-1][1] == "error"
    assert "tile2.png" in messages[-1][0]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files whose headers are asked for from another process."""
    paths: list[Path] = []
    headers = FirstLook.headers

    def note(look: FirstLook, wanted: list[Path], **options: bool) -> object:
        paths.extend(wanted)
        return headers(look, wanted, **options)

    monkeypatch.setattr(FirstLook, "headers", note)
    return paths


def test_files_are_opened_once_to_ask_and_to_add(
    project: Session, bare_slide: Path, tile_folder: Path, asked: list[Path]
) -> None:
    needed = []
    project.actions.sources.mpp_needed.connect(
        lambda paths, options: needed.append(paths)
    )
    files = [bare_slide, *sorted(tile_folder.iterdir())]
    project.actions.sources.add(files, tile_px=TILE_PX)
    assert needed == [tuple(files)]
    project.actions.sources.add(files, slide_mpp=0.5, tile_px=TILE_PX)
    assert len(project.model.project.sources) == 2
    assert sorted(asked) == sorted(files)


def test_the_process_that_opens_files_waits_while_a_project_is_open(
    project: Session, slide_file: Path
) -> None:
    spare = project.background.looks._spare
    assert spare is not None
    project.actions.sources.add([slide_file], tile_px=TILE_PX)
    assert project.background.looks._spare is spare
    project.close()
    assert not spare.is_running


def test_a_slide_that_was_replaced_by_a_crashing_one_is_not_opened_here(
    slide_session: Session, slide_file: Path, crashing_slide: Path, messages: Messages
) -> None:
    (source,) = slide_session.model.project.sources
    crash = slide_file.with_suffix(".svs")
    crashing_slide.rename(crash)
    assert slide_session.model.project.store is not None
    slide_session.model.project.store.relocate(source.id, crash)
    slide_session.showing.reload_sources()
    assert messages[-1][1] == "error"
    assert "slide.svs crashes the library that reads it" in messages[-1][0]
    # Its labels can still be seen; its tissue is stored, and is not found anew.
    names = [layer.name for layer in slide_session.viewer.layers]
    assert "slide.svs" not in names
    slide_session.actions.tissue.show(True)
    slide_session.actions.tissue.find_again()
    assert "crashes the library" in messages[-1][0]
    slide_session.actions.sources.check_files()
    slide_session.actions.sources.accept_files(source.id)
    assert "crashes the library" in messages[-1][0]
    assert [image.path for image in slide_session.model.project.changed_files] == [
        crash
    ]


class LaterExecutor(InlineExecutor):
    """Does the work when it is told to."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], object]] = []

    def submit(self, function: Callable[[], Any], **callbacks: Any) -> InlineTask:
        self.waiting.append(partial(super().submit, function, **callbacks))
        return InlineTask()

    def work(self) -> None:
        while self.waiting:
            self.waiting.pop(0)()


def test_a_slide_that_changed_comes_later_below_the_tile_labels(
    slide_session: Session, slide_file: Path
) -> None:
    slide_session.actions.tissue.show(False)
    before = [layer.name for layer in slide_session.viewer.layers]
    pixels = tifffile.imread(slide_file)[::-1]
    tifffile.imwrite(slide_file, pixels, photometric="rgb", tile=(64, 64))
    later = LaterExecutor()
    slide_session.canvas.executor = later
    slide_session.actions.sources.show(slide_session.model.project.sources[0].id)
    layers = slide_session.viewer.layers
    assert [layer.name for layer in layers] == before[1:]
    later.work()
    assert [layer.name for layer in layers] == before
    assert slide_session.canvas.view is not None
    assert layers.selection.active is slide_session.canvas.view.tile_layer.layer


def test_a_tile_image_that_was_replaced_by_a_crashing_one_stays_gray(
    project: Session, tile_folder: Path, crashing_slide: Path, messages: Messages
) -> None:
    project.actions.sources.add([tile_folder])
    crash = tile_folder / "tile2.png"
    crash.write_bytes(crashing_slide.read_bytes())
    project.actions.sources.show(project.model.project.sources[0].id)
    assert "1 images cannot be read, such as tile2.png" in messages[-1][0]


def test_a_slide_that_nobody_has_seen_and_that_is_missing_is_told_once(
    project: Session, slide_file: Path, messages: Messages
) -> None:
    store = project.model.project.require()
    cells, one = np.arange(2), np.full(2, TILE_PX)
    image = NewImage(
        path=slide_file.with_name("gone.tif"),
        height=TILE_PX,
        width=2 * TILE_PX,
        mpp_y=None,
        mpp_x=None,
        downsample=1.0,
        group="gone",
        boxes=np.column_stack((0 * cells, cells * TILE_PX, one, one)),
        rows=0 * cells,
        cols=cells,
    )
    plan = TilingPlan(TILE_PX, TILE_PX)
    store.add_source(SourceKind.SLIDE, image.path, "gone", plan, [image])
    project.showing.reload_sources()
    assert [level for _, level in messages].count("error") == 1
    assert "gone.tif" in messages[-1][0]
    assert project.viewer.layers[0].name == "Tile labels"

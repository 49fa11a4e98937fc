"""Masks in the viewer: overlay, correction window, review, undo."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_segmix.actions.mask_reading import MAX_WINDOW_PX, read_doubt
from napari_segmix.layers.own_layers import find_layer, find_layers
from napari_segmix.model.review_list import ReviewList
from segmix_core.geometry import Box
from segmix_core.project.records import UNTOUCHED, Review
from segmix_core.runs import RunFolder, RunRequest, RunWriter
from segmix_core.runs.results import create_mask, save_tiles

TILE = 64


def make_masks(session, stage="pseudo-masks", value=2):
    """Write a completed run: every pixel one class, the first tile most in doubt."""
    store = session.model.project.store
    folder = RunFolder.create(store.runs_path, RunRequest(stage, store.path))
    with RunWriter(folder) as writer:
        for image in store.images():
            create_mask(folder.path, image.id, image.working_shape)[:] = value
        ids = store.tiles().ids
        doubt = np.linspace(0.9, 0.1, len(ids)).astype(np.float32)
        save_tiles(folder.path, {"tile_ids": ids[::-1], "doubt": doubt[::-1]})
        writer.end("completed")
    session.actions.runs.refresh()
    return folder


@pytest.fixture
def slide(slide_session):
    make_masks(slide_session)
    slide_session.actions.masks.enter()
    return slide_session


@pytest.fixture
def folder(project, tile_folder):
    project.actions.sources.add([tile_folder])
    make_masks(project)
    project.actions.masks.enter()
    return project


def window_of(session):
    return find_layer(session.viewer, "mask window")


def paint(session, rows, cols, value):
    """Paint a rectangle as the brush does: change pixels, then tell."""
    layer = window_of(session)
    layer.data[rows, cols] = value
    layer.events.paint(value=[])


def test_masks_are_drawn_over_tiles_only(slide):
    layer = find_layer(slide.viewer, "mask")
    assert layer.name == "Pseudo masks"
    assert not layer.editable
    assert layer.data.shape == (256, 320)
    assert (layer.data[:, TILE:] == 2).all()
    # The left column is glass without tiles: not even "ignored" is drawn there.
    assert not layer.data[:, :TILE].any()


def test_tile_labels_step_back_while_masks_are_looked_at(slide):
    labels = find_layer(slide.viewer, "tiles")
    assert not labels.visible
    slide.actions.masks.leave()
    assert labels.visible


def test_overlay_lies_below_the_labels_and_keeps_the_tool(slide):
    layers = slide.viewer.layers
    mask, tiles = find_layer(slide.viewer, "mask"), find_layer(slide.viewer, "tiles")
    assert layers.index(mask) < layers.index(tiles)
    assert layers.selection.active is tiles


def test_overlay_can_be_hidden_and_follows_colors(slide):
    slide.actions.masks.set_overlay_visible(False)
    layer = find_layer(slide.viewer, "mask")
    assert not layer.visible
    slide.actions.classes.recolor(2, "#00ff00")
    assert layer.colormap.map(2)[:3].tolist() == [0, 1, 0]
    # Ignored pixels are neither clear nor a class.
    assert layer.colormap.map(255)[3] > 0.5


def test_newest_masks_first_and_a_choice_of_others(slide):
    prediction = make_masks(slide, "predict", value=1)
    assert [info.stage for info in slide.model.masks.bases()] == [
        "predict",
        "pseudo-masks",
    ]
    slide.actions.masks.choose_base(prediction.path)
    layer = find_layer(slide.viewer, "mask")
    assert layer.name == "Prediction"
    assert (layer.data[:, TILE:] == 1).all()
    slide.actions.masks.choose_base(None)
    assert find_layer(slide.viewer, "mask") is None


def test_most_doubtful_tiles_first(slide):
    tiles = slide.model.masks.doubtful(3)
    assert [tile.row for tile in tiles] == [0, 1, 2]
    assert tiles[0].doubt == pytest.approx(0.9)
    assert tiles[0].name == "row 1, column 2"
    assert slide.model.masks.review_counts() == (0, 0, 16)


def test_window_of_a_tile_has_surroundings_and_the_right_place(slide):
    slide.actions.masks.open_tile(0)
    layer = window_of(slide)
    # Tile (0, 1) with half a tile around, cut off at the upper edge of the slide.
    assert layer.data.shape == (96, 128)
    assert layer.scale.tolist() == [0.5, 0.5]
    assert layer.translate.tolist() == [0.0, 16.0]
    assert slide.viewer.layers.selection.active is layer
    assert slide.model.masks.row == 0


def test_strokes_are_stored_as_they_are_made(slide):
    slide.actions.masks.open_tile(0)
    paint(slide, slice(10, 14), slice(40, 50), 3)
    image = slide.model.project.store.images()[0]
    stored = slide.model.project.store.corrections(image.id, Box(0, 0, 96, 160))
    assert (stored[10:14, 72:82] == 3).all()
    assert (stored == UNTOUCHED).sum() == stored.size - 40


def test_unpainted_pixels_of_the_stroke_stay_untouched(slide):
    slide.actions.masks.open_tile(0)
    layer = window_of(slide)
    layer.data[[10, 20], [10, 30]] = 3
    layer.events.paint(value=[])
    image = slide.model.project.store.images()[0]
    stored = slide.model.project.store.corrections(image.id, Box(0, 0, 96, 160))
    assert (stored != UNTOUCHED).sum() == 2


def test_set_data_is_noticed_too(slide):
    slide.actions.masks.open_tile(0)
    layer = window_of(slide)
    layer.data[5, 6] = 1
    layer.refresh()
    assert slide.model.project.store.history(1)[0].kind == "mask"


def test_the_brush_of_napari_is_noticed(slide):
    slide.actions.masks.open_tile(0)
    layer = window_of(slide)
    slide.actions.correction.paint_with(3)
    with layer.block_history():
        layer.paint((20, 20), layer.selected_label)
    assert layer.data[20, 20] == 3
    assert slide.model.project.store.history(1)[0].kind == "mask"
    layer.undo()
    image = slide.model.project.store.images()[0]
    assert (
        (slide.model.project.store.corrections(image.id, Box(0, 32, 96, 128))[20, 20])
        == 2
    )


def test_undo_and_redo_are_those_of_the_project(slide):
    slide.actions.masks.open_tile(0)
    layer = window_of(slide)
    paint(slide, slice(0, 4), slice(0, 4), 3)
    slide.actions.history.undo("masks")
    assert (layer.data == 2).all()
    slide.actions.history.redo("masks")
    assert (layer.data[:4, :4] == 3).all()
    assert len(slide.model.project.store.history(10)) == len(
        [
            c
            for c in slide.model.project.store.history(10)
            if c.kind in ("mask", "source")
        ]
    )


def test_closing_draws_the_corrections_into_the_overlay(slide):
    slide.actions.masks.open_tile(0)
    overlay = find_layer(slide.viewer, "mask").data
    assert not overlay[:96, 32:160].any()
    paint(slide, slice(0, 4), slice(60, 64), 3)
    slide.actions.correction.close()
    assert (overlay[:4, 92:96] == 3).all()
    assert (overlay[4:96, 64:160] == 2).all()
    assert window_of(slide) is None


def test_undo_without_window_draws_the_overlay(slide):
    slide.actions.masks.open_tile(0)
    paint(slide, slice(0, 4), slice(60, 64), 3)
    slide.actions.correction.close()
    slide.actions.history.undo("masks")
    assert (find_layer(slide.viewer, "mask").data[:4, 92:96] == 2).all()


def test_corrections_are_read_again_with_the_next_look(slide):
    slide.actions.masks.open_tile(0)
    paint(slide, slice(0, 4), slice(60, 64), 3)
    slide.actions.masks.choose_base(slide.model.masks.base.path)
    assert (find_layer(slide.viewer, "mask").data[:4, 92:96] == 3).all()
    slide.actions.masks.open_tile(0)
    assert (window_of(slide).data[:4, 60:64] == 3).all()


def test_accept_reviews_and_goes_on(slide):
    masks = slide.actions.masks
    masks.next_doubtful()
    assert slide.model.masks.row == 0
    masks.accept()
    assert slide.model.masks.row == 1
    paint(slide, slice(50, 60), slice(50, 60), 3)
    masks.accept()
    assert slide.model.masks.review_counts() == (1, 1, 16)
    reviews = slide.model.project.store.tiles().reviews
    assert reviews[:3].tolist() == [Review.ACCEPTED, Review.CORRECTED, Review.NONE]
    assert [tile.row for tile in slide.model.masks.doubtful(16)][-2:] == [0, 1]
    slide.actions.history.undo("masks")
    assert slide.model.masks.review_counts() == (1, 0, 16)


def test_next_goes_on_without_accepting(slide):
    slide.actions.masks.next_doubtful()
    slide.actions.masks.next_doubtful()
    assert slide.model.masks.row == 1


def test_the_end_of_the_list_is_told(slide, messages):
    slide.model.project.store.set_reviews(
        slide.model.project.store.tiles().ids[:-1], Review.ACCEPTED
    )
    slide.actions.sources.show(slide.model.project.active_source.id)
    slide.actions.masks.next_doubtful()
    slide.actions.masks.next_doubtful()
    assert "last tile" in messages[-1][0]
    slide.actions.masks.accept()
    assert "All tiles of this source are reviewed." in messages[-1][0]
    assert window_of(slide) is None


def test_brush_and_keys(slide):
    correction = slide.actions.correction
    slide.actions.masks.open_tile(0)
    layer = window_of(slide)
    assert (layer.selected_label, layer.mode) == (1, "paint")
    correction.paint_with(255)
    assert layer.selected_label == 255
    slide.actions.masks.open_tile(1)
    assert window_of(slide).selected_label == 255
    bound = {str(key) for key in window_of(slide).keymap}
    assert {"1", "2", "3", "0", "N", "A", "I"} <= bound
    slide.actions.classes.recolor(1, "#0000ff")
    assert window_of(slide).colormap.map(1)[:3].tolist() == [0, 0, 1]


def test_view_of_a_slide_can_be_opened(slide, messages):
    layer = find_layer(slide.viewer, "tiles")
    layer.corner_pixels = np.array([[0, 0], [1, 2]])
    slide.actions.masks.open_view()
    assert window_of(slide).data.shape == (128, 192)
    assert slide.model.masks.row is None
    layer.corner_pixels = np.array([[0, 0], [3, 0]])
    slide.actions.masks.open_view()
    assert "tiles in view" in messages[-1][0]
    layer.corner_pixels = np.array([[0, 0], [3, 4]])
    image = slide.model.masks.source.images[0]
    assert max(image.working_shape) < MAX_WINDOW_PX


def test_folder_has_no_view_to_open(folder, messages):
    folder.actions.masks.open_view()
    assert "A folder of tiles" in messages[-1][0]


def test_gallery_overlay_and_window(folder):
    layer = find_layer(folder.viewer, "mask")
    place = folder.model.project.placement
    assert layer.data.shape == tuple(int(n * place.pitch) for n in place.grid_shape)
    assert (layer.data[4:124, 4:124] == 2).all()
    assert not layer.data[:4].any()
    folder.actions.masks.open_tile(1)
    window = window_of(folder)
    assert window.data.shape == (48, 48)
    assert window.scale.tolist() == [2.5, 2.5]
    picture = find_layer(folder.viewer, "mask window image")
    assert picture.data.shape == (48, 48, 3)
    assert picture.extent.world.tolist() == window.extent.world.tolist()
    assert folder.model.masks.tile_name(1) == "tile1.png"
    paint(folder, slice(0, 24), slice(0, 48), 3)
    folder.actions.correction.close()
    assert (layer.data[4:64, 132:252] == 3).all()
    assert (layer.data[64:124, 132:252] == 2).all()


def test_refused_strokes_are_taken_back(slide, messages):
    slide.actions.masks.open_tile(0)
    slide.model.project.store.close()
    slide.model.project.store = None
    paint(slide, slice(0, 4), slice(0, 4), 3)
    assert messages[-1][1] == "error"


def test_another_source_closes_window_and_overlay(slide):
    slide.actions.masks.open_tile(0)
    slide.actions.sources.show(None)
    assert window_of(slide) is None
    assert not find_layers(slide.viewer, "mask")
    assert slide.model.masks.doubtful() == []
    assert slide.model.masks.tile_name(0) == ""
    slide.actions.masks.next_doubtful()
    slide.actions.masks.accept()


def test_closing_the_project_forgets_the_masks(slide):
    slide.actions.projects.close()
    assert slide.model.masks.base is None
    assert not find_layers(slide.viewer, "mask")


def test_new_masks_are_shown_when_their_run_ends(slide):
    prediction = make_masks(slide, "predict", value=1)
    slide.actions.runs.ended.emit(
        next(i for i in slide.model.runs.infos if i.path == prediction.path)
    )
    assert slide.model.masks.base.stage == "predict"


def test_exported_files_are_shown_over_their_image(slide, tmp_path, messages):
    pixels = np.full((128, 160), 3, np.uint8)
    tifffile.imwrite(tmp_path / "slide.ome.tif", pixels)
    slide.actions.masks.show_file(tmp_path / "slide.ome.tif")
    layer = find_layer(slide.viewer, "mask")
    assert layer.name == "slide.ome.tif"
    assert layer.scale.tolist() == [1.0, 1.0]
    Image.fromarray(pixels).save(tmp_path / "slide.png")
    slide.actions.masks.show_file(tmp_path / "slide.png")
    assert find_layer(slide.viewer, "mask").name == "slide.png"
    slide.actions.masks.show_file(tmp_path / "other.tif")
    assert "not shown" in messages[-1][0]
    (tmp_path / "slide.tiff").write_bytes(b"no image")
    slide.actions.masks.show_file(tmp_path / "slide.tiff")
    assert "Export it again." in messages[-1][0]


def test_run_without_doubts(tmp_path):
    ids, doubt = read_doubt(tmp_path)
    assert len(ids) == len(doubt) == 0


def test_unknown_tiles_in_the_doubts_are_left_out(slide):
    reviews = ReviewList(slide.model.masks.source, slide.model.project.tiles)
    ids = np.array([10_000, int(slide.model.project.tiles.ids[5])])
    reviews.set_doubts(ids, np.array([1.0, 0.5], np.float32))
    assert reviews.first(1)[0].row == 5
    assert reviews.next_row(5) == 0


def test_a_polygon_is_stored_when_it_is_drawn(slide):
    slide.actions.masks.open_tile(0)
    layer, before = window_of(slide), slide.model.project.store.revision
    slide.actions.correction.paint_with(3)
    layer.paint_polygon([[4, 4], [4, 30], [30, 30], [30, 4]], 3)
    assert slide.model.project.store.revision == before + 1
    image = slide.model.project.store.images()[0]
    box = slide.model.project.store.history(1)[0].box
    assert (slide.model.project.store.corrections(image.id, box) == 3).sum() > 500


def test_accepting_and_closing_store_what_is_painted_first(slide):
    slide.actions.masks.open_tile(0)
    window_of(slide).data[5, 6] = 1
    slide.actions.masks.accept()
    kinds = [change.kind for change in slide.model.project.store.history(2)]
    assert kinds == ["review", "mask"]
    slide.actions.masks.open_tile(1)
    window_of(slide).data[5, 6] = 1
    slide.actions.correction.close()
    assert slide.model.project.store.history(1)[0].kind == "mask"

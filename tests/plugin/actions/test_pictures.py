"""Shuffled batches and CAMs of runs as layers."""

import numpy as np
import pytest

from napari_segmix._compat import camera
from napari_segmix.actions.pictures import read_cams
from napari_segmix.layers.own_layers import facts_of, find_layer, find_layers
from napari_segmix.model.tile_tables import rows_of
from segmix_core.runs import RunFolder, RunRequest, RunWriter
from segmix_core.runs.results import create_cams, save_tiles
from tests.plugin.job_stages import shuffled


def cams_of(session, value=200, count=16):
    return {
        "cams": np.full((count, 3, 8, 8), value, np.uint8),
        "tile_ids": session.model.project.tiles.ids[:count],
    }


def make_cams(session):
    """A completed run "cams": class k of every tile has the value k + 1 of 3."""
    store = session.model.project.store
    folder = RunFolder.create(store.runs_path, RunRequest("cams", store.path))
    with RunWriter(folder) as writer:
        ids = store.tiles().ids
        create_cams(folder.path, len(ids), 3, (8, 8))[:] = 255
        save_tiles(
            folder.path,
            {
                "tile_ids": ids,
                "scales": np.tile(np.array([1, 2, 3], np.float32), (len(ids), 1)),
                "valid": np.tile([8, 4], (len(ids), 1)),
            },
        )
        writer.end("completed")
    return folder


def test_batch_is_shown_beside_the_picture(slide_session):
    session = slide_session
    session.actions.runs.previews.emit({"shuffled": (7, shuffled(7))})
    layer = find_layer(session.viewer, "shuffled")
    assert layer.name == "Shuffled batch (step 7, 8 px, ratio 0.25)"
    assert facts_of(layer)["step"] == 7
    image = find_layer(session.viewer, "image")
    assert layer.extent.world[0, 1] > image.extent.world[1, 1]
    height = layer.extent.world[1, 0] - layer.extent.world[0, 0]
    assert height == pytest.approx(4 * 64 * 0.5, rel=0.05)


def test_batch_is_updated_in_place(slide_session):
    session = slide_session
    session.actions.runs.previews.emit({"shuffled": (1, shuffled(1))})
    layer = find_layer(session.viewer, "shuffled")
    data = layer.data
    later = shuffled(2)
    later["images"] = later["images"] // 2
    session.actions.runs.previews.emit({"shuffled": (2, later)})
    assert find_layer(session.viewer, "shuffled") is layer
    assert layer.data is data
    assert layer.data[0, 0, 0] == 10
    assert "step 2" in layer.name
    session.actions.runs.previews.emit({"shuffled": (3, shuffled(3, count=9))})
    assert find_layers(session.viewer, "shuffled") == [layer]


def test_moved_patches_can_be_outlined(slide_session):
    session = slide_session
    session.actions.runs.previews.emit({"shuffled": (1, shuffled(1))})
    layer = find_layer(session.viewer, "shuffled")
    assert layer.data[0, 0, :3].tolist() == [20, 20, 20]
    session.actions.pictures.outline_moved_patches(True)
    assert session.model.runs.outlines_moved_patches
    assert layer.data[0, 0, :3].tolist() == [255, 214, 0]


def test_one_cam_layer_per_class_at_the_tiles(slide_session):
    session = slide_session
    active = session.viewer.layers.selection.active
    session.actions.runs.previews.emit({"cam": (5, cams_of(session))})
    layers = find_layers(session.viewer, "cam")
    assert {layer.name for layer in layers} == {
        "CAM gland",
        "CAM stroma",
        "CAM lymphoid",
    }
    assert session.viewer.layers.selection.active is active
    layer = layers[0]
    # Tiles begin in the second column of 64 px; a CAM pixel covers 8 px of 0.5 µm.
    assert layer.data.shape == (32, 32)
    assert layer.scale.tolist() == [4.0, 4.0]
    assert layer.extent.world[0].tolist() == pytest.approx([1.75, 33.75])
    assert layer.contrast_limits == [0, 255]
    # Low values let the picture through.
    assert layer.colormap.map(np.array([0.0, 1.0]))[:, 3].tolist() == [0, 1]


def test_cams_are_updated_in_place_and_follow_class_names(slide_session):
    session = slide_session
    session.actions.runs.previews.emit({"cam": (5, cams_of(session, 100))})
    layer = find_layer(session.viewer, "cam", tissue_class=1)
    session.actions.runs.previews.emit({"cam": (6, cams_of(session, 200))})
    assert find_layer(session.viewer, "cam", tissue_class=1) is layer
    assert (layer.data == 200).all()
    session.actions.classes.rename(1, "crypt")
    assert layer.name == "CAM crypt"


def test_tiles_of_other_sources_are_left_out(slide_session):
    session = slide_session
    content = cams_of(session) | {"tile_ids": np.arange(500, 516)}
    session.actions.runs.previews.emit({"cam": (5, content)})
    assert not find_layers(session.viewer, "cam")


def test_all_cams_after_their_stage(slide_session):
    session = slide_session
    make_cams(session)
    session.actions.runs.refresh()
    session.actions.runs.ended.emit(session.model.runs.latest("cams"))
    weak = find_layer(session.viewer, "cam", tissue_class=1).data
    strong = find_layer(session.viewer, "cam", tissue_class=3).data
    assert strong.max() == 255
    assert weak.max() == 85


def test_padding_of_cams_is_cut_off(slide_session):
    session = slide_session
    mosaic = read_cams(
        make_cams(session).path,
        session.model.project.tiles,
        session.model.project.placement,
    )
    # Only 4 of 8 columns are image: stretched over the tile they fill it.
    assert (mosaic.pixels[2] == 255).all()


def test_run_without_tiles_of_the_source_shows_nothing(slide_session):
    session = slide_session
    folder = make_cams(session)
    columns = {"tile_ids": np.arange(900, 916)}
    save_tiles(folder.path, columns)
    assert (
        read_cams(
            folder.path,
            session.model.project.tiles,
            session.model.project.placement,
        )
        is None
    )


def test_another_source_draws_anew_and_clear_removes(slide_session):
    session = slide_session
    session.actions.runs.previews.emit(
        {"shuffled": (1, shuffled(1)), "cam": (1, cams_of(session))}
    )
    session.actions.sources.show(session.model.project.active_source.id)
    assert len(find_layers(session.viewer, "cam")) == 3
    session.actions.pictures.clear()
    assert not find_layers(session.viewer, "cam")
    assert not find_layers(session.viewer, "shuffled")


def test_view_goes_to_the_batch(slide_session, messages):
    session = slide_session
    session.actions.pictures.look_at_batch()
    assert "no shuffled batch" in messages[-1][0]
    session.actions.runs.previews.emit({"shuffled": (1, shuffled(1))})
    session.actions.pictures.look_at_batch()
    low, high = find_layer(session.viewer, "shuffled").extent.world
    assert low[1] < camera(session.viewer).center[2] < high[1]


def test_closing_the_project_removes_the_pictures(slide_session):
    session = slide_session
    session.actions.runs.previews.emit({"cam": (1, cams_of(session))})
    session.actions.projects.close()
    assert not find_layers(session.viewer, "cam")


def test_rows_of(slide_session):
    tiles = slide_session.model.project.tiles
    rows, kept = rows_of(tiles, np.array([tiles.ids[3], 9999, tiles.ids[0]]))
    assert rows.tolist() == [3, 0]
    assert kept.tolist() == [0, 2]

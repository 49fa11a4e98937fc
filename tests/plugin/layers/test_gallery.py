from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_segmix.layers.gallery import empty_mosaic, fill_mosaic
from napari_segmix.layers.own_layers import find_layer
from napari_segmix.session import Session
from segmix_core.intake.opening import open_directly
from segmix_core.project.records import TileTable


@pytest.fixture
def folder_session(project: Session, tile_folder: Path) -> Session:
    project.actions.sources.add([tile_folder])
    assert project.canvas.view is not None
    return project


def test_every_image_is_in_its_cell(folder_session: Session, tile_folder: Path) -> None:
    layer = find_layer(folder_session.viewer, "image")
    assert layer is not None
    mosaic = np.asarray(layer.data[0] if layer.multiscale else layer.data)
    assert mosaic.shape == (3 * 128, 3 * 128, 3)
    for number in (0, 4, 6):
        row, col = divmod(number, 3)
        cell = mosaic[row * 128 + 4 :, col * 128 + 4 :][:120, :120]
        with Image.open(tile_folder / f"tile{number}.png") as image:
            expected = np.asarray(image).mean(axis=(0, 1))
        assert np.allclose(cell.mean(axis=(0, 1)), expected, atol=2)
    # The last two cells hold no tile.
    assert (mosaic[2 * 128 :, 128:] == 0).all()


def test_smaller_levels_are_means_of_the_larger(folder_session: Session) -> None:
    place, store, tiles = (
        folder_session.model.project.placement,
        folder_session.model.project.store,
        folder_session.model.project.tiles,
    )
    assert place is not None
    assert store is not None
    assert tiles is not None
    levels = [np.zeros((384 >> i, 384 >> i, 3), np.uint8) for i in range(3)]
    list(fill_mosaic(levels, place, store.images(), tiles, open_directly))
    mean = levels[0].reshape(96, 4, 96, 4, 3).mean(axis=(1, 3))
    assert np.abs(levels[2] - mean).max() <= 2


def test_levels_halve_until_they_are_small(folder_session: Session) -> None:
    tiles = folder_session.model.project.tiles
    assert tiles is not None
    many = TileTable(
        *(
            np.repeat(getattr(tiles, name), 80, axis=0)
            for name in TileTable.__dataclass_fields__
        )
    )
    from napari_segmix.model.placement import place_gallery

    shapes = [level.shape[0] for level in empty_mosaic(place_gallery(many))]
    assert shapes == [24 * 128, 24 * 64, 24 * 32]


def test_it_tells_how_far_it_is(folder_session: Session) -> None:
    place, store, tiles = (
        folder_session.model.project.placement,
        folder_session.model.project.store,
        folder_session.model.project.tiles,
    )
    assert place is not None
    assert store is not None
    assert tiles is not None
    seconds = iter(range(100))
    told = list(
        fill_mosaic(
            empty_mosaic(place),
            place,
            store.images(),
            tiles,
            open_directly,
            clock=lambda: float(next(seconds)),
        )
    )
    assert told == [1, 2, 3, 4, 5, 6, 7, 7]


def test_files_that_went_missing_are_named(
    folder_session: Session, tile_folder: Path, messages: list[tuple[str, str]]
) -> None:
    (tile_folder / "tile2.png").unlink()
    (tile_folder / "tile5.png").write_bytes(b"not an image")
    folder_session.actions.sources.show(folder_session.model.project.sources[0].id)
    text, level = messages[-1]
    assert level == "error"
    assert "2 images cannot be read, such as tile2.png" in text


def test_cells_are_labeled_like_tiles_of_a_slide(folder_session: Session) -> None:
    layer = find_layer(folder_session.viewer, "tiles")
    assert layer is not None
    layer.fill((0, 0), 1)
    assert folder_session.model.project.label_counts.present == (7, 0, 0)
    # Cells without a tile stay empty.
    assert layer.data[2].tolist() == [1, 0, 0]


def test_windows_become_cells(folder_session: Session, tmp_path: Path) -> None:
    rows = [
        f"tile{number}.png,train,{x},0,24,1,0,0"
        for number in (0, 1, 2, 3, 4, 5, 6)
        for x in (0, 24)
    ]
    header = "filename,split,x,y,size,has_gland,has_stroma,has_lymphoid"
    file = tmp_path / "patches.csv"
    file.write_text("\n".join([header, *rows]), encoding="utf-8")
    folder_session.actions.sources.import_labels(file, kind="windows")
    assert folder_session.model.project.tiles is not None
    assert len(folder_session.model.project.tiles) == 14
    layer = find_layer(folder_session.viewer, "tiles")
    assert layer is not None
    assert layer.data.shape == (4, 4)
    assert (layer.data == 1).sum() == 14
    folder_session.actions.history.undo("labels")
    assert len(folder_session.model.project.tiles) == 7

import csv
import io

import numpy as np
import pytest
from PIL import Image

from segmix_core.project.store import ProjectStore
from segmix_core.sample.slide_file import write_sample_slide


@pytest.fixture
def mixed(tmp_path, segmix, images):
    """A project of a slide and a folder, one name of which is there twice."""
    write_sample_slide(tmp_path / "slide.tif", tmp_path / "mask.tif", size=512)
    folder = tmp_path / "more"
    folder.mkdir()
    Image.new("RGB", (40, 24), "pink").save(folder / "TILE [0].png")
    project = tmp_path / "m.segmix"
    assert segmix("new", project, "--classes", "T cell,CD8+,a;b").exit_code == 0
    assert (
        segmix("add", project, tmp_path / "slide.tif", "--tile-px", 64).exit_code == 0
    )
    assert segmix("add", project, images).exit_code == 0
    assert segmix("add", project, folder).exit_code == 0
    return project


def labels(project):
    with ProjectStore.open(project) as store:
        return store.tiles().labels


def test_the_list_can_be_filled_in_and_read_back(mixed, tmp_path, segmix, answer):
    rng = np.random.default_rng(0)
    with ProjectStore.open(mixed) as store:
        table = store.tiles()
        states = rng.integers(-1, 2, table.labels.shape).astype(np.int8)
        store.set_labels(table.ids, states)
    shown = segmix("tiles", mixed)
    assert shown.exit_code == 0
    rows = list(csv.DictReader(io.StringIO(shown.stdout)))
    assert list(rows[0]) == [
        "filename", "x", "y", "width", "height", "is_T cell", "is_CD8+", "is_a;b"
    ]  # fmt: skip
    for row, box, state in zip(rows, table.boxes, states, strict=True):
        assert [int(row[k]) for k in ("y", "x", "height", "width")] == box.tolist()
        cells = [row[f"is_{name}"] for name in ("T cell", "CD8+", "a;b")]
        assert [int(cell or -1) for cell in cells] == state.tolist()
    names = [row["filename"] for row in rows]
    assert names.count("slide.tif") == len(rows) - 5
    assert str(tmp_path / "more" / "TILE [0].png") in names

    file = tmp_path / "tiles.csv"
    code, said = answer("tiles", mixed, "--save", file)
    assert (code, len(said["tiles"])) == (0, len(rows))
    assert file.read_text(encoding="utf-8") == shown.stdout
    with ProjectStore.open(mixed) as store:
        store.set_labels(table.ids, np.full_like(states, -1))
    code, said = answer("import-labels", mixed, file)
    assert (code, said["tiles"]) == (0, len(rows)), said
    np.testing.assert_array_equal(labels(mixed), states)


def test_tiles_of_some_images(mixed, answer):
    code, said = answer("tiles", mixed, "slide.tif")
    assert code == 0
    assert {tile["filename"] for tile in said["tiles"]} == {"slide.tif"}
    code, said = answer("tiles", mixed, "none.tif")
    assert (code, said["error"]) == (2, "ProjectError")


def test_a_file_that_cannot_be_written(project, tmp_path, answer):
    code, said = answer("tiles", project, "--save", tmp_path / "none" / "t.csv")
    assert (code, said["error"]) == (2, "ProjectError")
    assert "cannot be written" in said["message"]


def test_a_table_that_exists_is_kept(project, tmp_path, answer):
    (tmp_path / "labels.csv").write_text("edited by hand")
    code, said = answer("tiles", project, "--save", tmp_path / "labels.csv")
    assert (code, said["error"]) == (2, "ProjectError")
    assert "already exists" in said["message"]
    assert (tmp_path / "labels.csv").read_text() == "edited by hand"

import numpy as np
import pytest
import tifffile
from PIL import Image

from segmix_core.project.store import ProjectStore


@pytest.fixture
def slide(project, tmp_path, segmix):
    """The project with a slide of 4 x 6 tiles, tissue in the left four columns."""
    image = np.full((256, 384, 3), 243, np.uint8)
    image[:, :256] = (222, 140, 180)
    tifffile.imwrite(tmp_path / "slide.tif", image, photometric="rgb", tile=(64, 64))
    result = segmix("add", project, tmp_path / "slide.tif", "--tile-px", 64)
    assert result.exit_code == 0, result.stderr
    return project


def tile_columns(project):
    with ProjectStore.open(project) as store:
        return sorted(set(store.tiles(2).cols.tolist()))


def test_the_tissue_is_shown(slide, segmix, answer):
    code, said = answer("tissue", slide, "slide.tif")
    assert code == 0
    assert (said["tiles"], said["changed"]) == (16, False)
    assert said["share"] == pytest.approx(2 / 3, abs=0.02)
    assert said["min_tissue"] == 0.25
    text = segmix("tissue", slide, "2").stdout
    assert "slide.tif: 6" in text
    assert "% tissue, 16 tiles." in text


def test_saved_changed_taken_and_reset(slide, segmix, answer, tmp_path):
    mask = tmp_path / "mask.png"
    code, _ = answer("tissue", slide, "slide.tif", "--save", mask)
    assert code == 0
    pixels = np.array(Image.open(mask))
    pixels[:, pixels.shape[1] // 3 :] = 0
    Image.fromarray(pixels).save(mask)
    code, said = answer("tissue", slide, "slide.tif", "--from", mask)
    assert (code, said["tiles"], said["changed"]) == (0, 8, True)
    assert tile_columns(slide) == [0, 1]
    code, said = answer("tissue", slide, "slide.tif", "--from", mask)
    assert (code, said["changed"]) == (0, False)
    result = segmix("tissue", slide, "slide.tif", "--reset")
    assert "8 tiles added, 0 removed" in result.stdout
    assert tile_columns(slide) == [0, 1, 2, 3]


def test_a_correction_outdates_what_was_made(slide, answer, tmp_path):
    from segmix_core.runs import RunFolder, RunRequest

    def outdated():
        return {r["stage"]: r["outdated"] for r in answer("status", slide)[1]["runs"]}

    with ProjectStore.open(slide) as store:
        for stage in ("train", "predict"):
            request = RunRequest(stage, slide, revision=store.revision)
            RunFolder.create(store.runs_path, request)
    assert outdated() == {"train": False, "predict": False}
    pixels = np.zeros((64, 96), np.uint8)
    pixels[:, 20:90] = 255
    Image.fromarray(pixels).save(tmp_path / "m.png")
    assert answer("tissue", slide, "slide.tif", "--from", tmp_path / "m.png")[0] == 0
    assert outdated() == {"train": True, "predict": True}


def test_what_does_not_go(slide, segmix, answer, tmp_path):
    result = segmix("tissue", slide, "2", "--reset", "--from", tmp_path / "m.png")
    assert result.exit_code == 2
    assert "cannot be combined" in result.stderr
    code, said = answer("tissue", slide, "biopsies")
    assert (code, said["error"]) == (2, "ProjectError")
    assert "folder of tiles" in said["message"]
    Image.new("L", (96, 64)).save(tmp_path / "black.png")
    code, said = answer("tissue", slide, "2", "--from", tmp_path / "black.png")
    assert (code, said["error"]) == (2, "ProjectError")
    assert "no tiles left" in said["message"]
    assert tile_columns(slide) == [0, 1, 2, 3]


def test_a_mask_is_not_written_over_the_project_or_its_images(slide, answer):
    database = slide / "project.sqlite"
    before = database.read_bytes()
    code, said = answer("tissue", slide, "slide.tif", "--save", database)
    assert code == 2
    assert "does not end in .png" in said["message"]
    assert database.read_bytes() == before
    with ProjectStore.open(slide) as store:
        image = store.images()[0].path
    link = image.with_name("link.png")
    link.symlink_to(image)
    code, said = answer("tissue", slide, "slide.tif", "--save", link)
    assert code == 2
    assert "is an image of the project" in said["message"]

import numpy as np
import pytest
from PIL import Image

from segmix_core.geometry import Box
from segmix_core.project.store import ProjectStore
from segmix_core.runs.results import create_mask, save_tiles


@pytest.fixture
def truth(tmp_path):
    """Known masks of the four tiles: gland everywhere, but for the last."""
    folder = tmp_path / "known"
    folder.mkdir()
    for index in range(4):
        mask = np.full((32, 32), 2 if index == 3 else 1, np.uint8)
        Image.fromarray(mask).save(folder / f"tile [{index}].png")
    return folder


@pytest.fixture
def masks(project, finished):
    """A run of masks that are gland everywhere."""
    run = finished("pseudo-masks")
    with ProjectStore.open(project) as store:
        fill(run, [image.id for image in store.images()])
    return run


def fill(run, image_ids, class_names=("gland", "stroma")):
    save_tiles(run.path, {"tile_ids": [], "class_names": np.array(class_names)})
    for image_id in image_ids:
        create_mask(run.path, image_id, (32, 32))[:] = 1


def test_scores_of_the_newest_masks(project, masks, truth, answer, segmix):
    code, said = answer("evaluate", project, "--masks", truth)
    assert code == 0
    assert said["run"] == str(masks.path)
    assert said["images"] == 4
    assert said["class_iou"] == {"background": None, "gland": 0.75, "stroma": 0}
    assert said["mean_iou"] == 0.375
    assert said["background_iou"] is None
    shown = segmix("evaluate", project, "--masks", truth)
    assert shown.exit_code == 0
    assert "0.375" in shown.stdout
    assert "IoU gland" in shown.stdout


def test_corrections_count_unless_left_out(project, masks, truth, answer):
    with ProjectStore.open(project) as store:
        last = store.images()[-1].id
        store.correct_mask(last, Box(0, 0, 32, 32), np.full((32, 32), 2, np.uint8))
    assert answer("evaluate", project, "--masks", truth)[1]["mean_iou"] == 1
    code, said = answer("evaluate", project, "--masks", truth, "--no-corrected")
    assert (code, said["mean_iou"]) == (0, 0.375)


def test_a_run_can_be_chosen(project, masks, finished, truth, answer):
    newer = finished("pseudo-masks", 2e9)
    fill(newer, [])
    code, said = answer("evaluate", project, "--masks", truth)
    assert code == 2
    assert "masks" in said["message"]
    code, said = answer("evaluate", project, "--masks", truth, "--run", masks.name)
    assert (code, said["images"]) == (0, 4)
    assert newer.name != masks.name
    code, said = answer("evaluate", project, "--masks", truth, "--run", "nowhere")
    assert (code, said["error"]) == (2, "JobError")


def test_the_newest_masks_of_any_stage(project, masks, finished, truth, answer, segmix):
    older = finished("predict", 5e8)
    assert answer("evaluate", project, "--masks", truth)[1]["run"] == str(masks.path)
    newer = finished("predict", 2e9)
    fill(newer, [1])
    said = answer("evaluate", project, "--masks", truth)[1]
    assert (said["run"], said["images"]) == (str(newer.path), 1)
    shown = segmix("evaluate", project, "--masks", truth)
    assert f"Run {newer.name}: 1 of 1 images and 1,024 pixels (100.0%" in shown.stdout
    assert (
        "Warning: 3 ground truth masks skipped, without a mask in the run"
        in shown.stderr
    )
    assert older.name != newer.name


def test_masks_of_other_classes_are_refused(project, finished, truth, answer):
    fill(finished("pseudo-masks"), [1], ("stroma", "gland"))
    code, said = answer("evaluate", project, "--masks", truth)
    assert (code, said["error"]) == (2, "JobError")
    assert "gland" in said["message"]


def test_what_is_no_mask_is_named(project, masks, tmp_path, answer):
    code, said = answer("evaluate", project, "--masks", tmp_path / "nowhere")
    assert (code, said["error"]) == (2, "ProjectError")
    assert said["hint"] == "Choose the folder of ground truth masks."
    for name, content in (("tile [0].png", b"no image"), ("tile [0].tif", b"II*\0")):
        file = tmp_path / name
        file.write_bytes(content)
        code, said = answer("evaluate", project, "--masks", file)
        assert (code, said["hint"]) == (2, "Use a TIFF or PNG of class indices.")


def test_masks_come_first(project, truth, answer):
    code, said = answer("evaluate", project, "--masks", truth)
    assert (code, said["error"]) == (2, "JobError")

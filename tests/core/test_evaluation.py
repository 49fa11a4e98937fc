from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from segmix_core.errors import ProjectError
from segmix_core.evaluation import evaluate_run, read_mask_file
from segmix_core.geometry import Box
from segmix_core.project.records import NewImage, SourceKind, TilingPlan
from segmix_core.project.store import ProjectStore
from segmix_core.runs.results import create_mask


@pytest.fixture
def store(tmp_path: Path) -> ProjectStore:
    store = ProjectStore.create(tmp_path / "p.segmix", ["gland", "stroma"])
    images = []
    for name in ("a.png", "b.png"):
        path = tmp_path / "tiles" / name
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8)).save(path)
        images.append(
            NewImage(
                path=path,
                height=8,
                width=8,
                mpp_y=None,
                mpp_x=None,
                downsample=1.0,
                group=name,
                boxes=np.array([[0, 0, 8, 8]]),
                rows=np.array([0]),
                cols=np.array([len(images)]),
            )
        )
    store.add_source(
        SourceKind.FOLDER, tmp_path / "tiles", "tiles", TilingPlan(8, 8), images
    )
    return store


@pytest.fixture
def run(store: ProjectStore, tmp_path: Path) -> Path:
    run = tmp_path / "run"
    for image in store.images():
        create_mask(run, image.id, (8, 8))[:] = 1
    return run


def _truth(folder: Path, **masks: np.ndarray) -> Path:
    folder.mkdir()
    for name, mask in masks.items():
        Image.fromarray(mask.astype(np.uint8)).save(folder / f"{name}.png")
    return folder


def test_scores_are_over_the_pixels_of_all_images(
    store: ProjectStore, run: Path, tmp_path: Path
) -> None:
    half = np.ones((8, 8))
    half[:4] = 2
    truth = _truth(tmp_path / "truth", a=np.ones((8, 8)), b=half)
    result = evaluate_run(store, run, truth)
    # 96 of 128 pixels are gland; stroma was never predicted.
    assert result.images == 2
    assert result.class_iou["gland"] == pytest.approx(96 / 128)
    assert result.class_iou["stroma"] == 0
    assert result.mean_iou == pytest.approx(0.375)
    assert result.foreground_iou == 1
    assert np.isnan(result.class_iou["background"])
    assert result.to_json()["answered"] == 1


def test_corrections_count_unless_left_out(
    store: ProjectStore, run: Path, tmp_path: Path
) -> None:
    truth = _truth(tmp_path / "truth", a=np.full((8, 8), 2))
    image = store.images()[0]
    store.correct_mask(image.id, Box(0, 0, 8, 8), np.full((8, 8), 2, np.uint8))
    assert evaluate_run(store, run, truth).mean_iou == 1
    assert evaluate_run(store, run, truth, corrected=False).mean_iou == 0


def test_ignored_predictions_are_told(
    store: ProjectStore, run: Path, tmp_path: Path
) -> None:
    create_mask(run, store.images()[0].id, (8, 8))[:, :4] = 1
    truth = _truth(tmp_path / "truth", a=np.ones((8, 8)))
    result = evaluate_run(store, run, truth)
    assert result.answered == pytest.approx(0.5)
    assert result.class_iou["gland"] == pytest.approx(0.5)


def test_a_mask_of_another_size_is_scaled(
    store: ProjectStore, run: Path, tmp_path: Path
) -> None:
    half = np.ones((16, 16))
    half[:8] = 2
    truth = _truth(tmp_path / "truth", a=half)
    assert evaluate_run(store, run, truth).class_iou["gland"] == pytest.approx(0.5)


def test_a_file_is_the_mask_of_the_image_of_its_name(
    store: ProjectStore, run: Path, tmp_path: Path
) -> None:
    truth = _truth(tmp_path / "truth", b=np.ones((8, 8)))
    assert evaluate_run(store, run, truth / "b.png").images == 1


def test_without_a_known_mask_there_is_no_score(
    store: ProjectStore, run: Path, tmp_path: Path
) -> None:
    truth = _truth(tmp_path / "truth", other=np.ones((8, 8)))
    with pytest.raises(ProjectError, match="name of an image"):
        evaluate_run(store, run, truth)


def test_unknown_values_are_named(
    store: ProjectStore, run: Path, tmp_path: Path
) -> None:
    truth = _truth(tmp_path / "truth", a=np.full((8, 8), 7))
    with pytest.raises(ProjectError, match="the value 7"):
        evaluate_run(store, run, truth)


def test_tiff_masks_are_read_at_full_size(tmp_path: Path) -> None:
    mask = np.arange(64, dtype=np.uint8).reshape(8, 8)
    tifffile.imwrite(tmp_path / "mask.tif", mask)
    np.testing.assert_array_equal(read_mask_file(tmp_path / "mask.tif"), mask)


def test_pictures_and_broken_files_are_no_masks(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "rgb.png")
    with pytest.raises(ProjectError, match="one 8-bit channel"):
        read_mask_file(tmp_path / "rgb.png")
    for name in ("broken.tif", "broken.png"):
        (tmp_path / name).write_bytes(b"no image")
        with pytest.raises(ProjectError, match="mask at"):
            read_mask_file(tmp_path / name)

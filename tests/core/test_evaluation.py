import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from segmix_core.errors import ProjectError
from segmix_core.evaluation import evaluate_run, read_mask_file
from segmix_core.export.label_info import LabelImageInfo, sidecar_content
from segmix_core.files import write_json
from segmix_core.geometry import Box
from segmix_core.project.records import SourceKind, TilingPlan
from segmix_core.project.store import ProjectStore
from segmix_core.runs.results import create_mask
from tests.core.project.plain_images import new_image


def add(store: ProjectStore, folder: Path, *names: str, width: int = 8) -> None:
    images = []
    for name in names:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (width, 8)).save(path)
        images.append(new_image(path, 8, width))
    store.add_source(SourceKind.FOLDER, folder, folder.name, TilingPlan(8, 8), images)


@pytest.fixture
def store(tmp_path: Path) -> ProjectStore:
    store = ProjectStore.create(tmp_path / "p.segmix", ["gland", "stroma"])
    add(store, tmp_path / "tiles", "a.png", "b.png")
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
    with pytest.raises(
        ProjectError,
        match=r"No image .* 1 ground truth mask skipped",
    ):
        evaluate_run(store, run, truth)


def test_unknown_values_are_named(
    store: ProjectStore, run: Path, tmp_path: Path
) -> None:
    truth = _truth(tmp_path / "truth", a=np.full((8, 8), 7))
    with pytest.raises(ProjectError, match="the value 7"):
        evaluate_run(store, run, truth)


def test_a_mask_fits_one_image(store: ProjectStore, run: Path, tmp_path: Path) -> None:
    add(store, tmp_path / "more", "a.png", "slide.ome.tif")
    ones = np.ones((8, 8))
    truth = _truth(tmp_path / "truth", a=ones)
    with pytest.raises(
        ProjectError, match=r"a.png matches several images: tiles/a.png or more/a"
    ):
        evaluate_run(store, run, truth)
    (truth / "tiles").mkdir()
    (truth / "a.png").rename(truth / "tiles" / "a.png")
    assert evaluate_run(store, run, truth).images == 1
    create_mask(run, 4, (8, 8))[:] = 1
    for name in ("slide.tif", "slide.ome.tif", "slide.png"):
        shutil.copy(truth / "tiles" / "a.png", truth / name)
        if name != "slide.png":
            tifffile.imwrite(truth / name, ones.astype(np.uint8))
        assert evaluate_run(store, run, truth).images == 2
        assert evaluate_run(store, run, truth / name).images == 1
        if name != "slide.png":
            (truth / name).unlink()
    tifffile.imwrite(truth / "slide.ome.tif", ones.astype(np.uint8))
    with pytest.raises(
        ProjectError, match=r"slide.* are both ground truth masks of more/slide"
    ):
        evaluate_run(store, run, truth)


def test_a_single_mask_is_never_that_of_another_image(
    store: ProjectStore, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    create_mask(run, 1, (8, 8))[:] = 1
    truth = _truth(tmp_path / "truth", b=np.ones((8, 8)), known=np.ones((8, 8)))
    with pytest.raises(ProjectError, match="without a mask in the run"):
        evaluate_run(store, run, truth / "b.png")
    result = evaluate_run(store, run, truth / "known.png")
    assert result.notes[0].startswith("known.png was compared with tiles/a.png")


def test_images_beside_their_masks_are_no_masks(
    store: ProjectStore, run: Path, tmp_path: Path
) -> None:
    masks = _truth(tmp_path / "tiles" / "masks", a=np.ones((8, 8)))
    with pytest.raises(ProjectError, match=r"\(masks/a.png is not tiles/a.png\)"):
        evaluate_run(store, run, tmp_path / "tiles")
    assert evaluate_run(store, run, masks).images == 1


def test_what_counted_is_told(store: ProjectStore, run: Path, tmp_path: Path) -> None:
    mask = np.full((8, 8), 255)
    mask[0] = 1
    result = evaluate_run(store, run, _truth(tmp_path / "truth", a=mask, z=mask))
    assert (result.images, result.run_images, result.pixels) == (1, 2, 8)
    assert result.counted == 0.125
    assert (
        "1 ground truth mask skipped, without an image in the project (z.png)"
        in result.notes[0]
    )
    assert result.notes[1].startswith("Only 12.5 % of the pixels")


@pytest.mark.parametrize("value", [0, 255])
def test_masks_of_0_and_255_are_refused(
    store: ProjectStore, run: Path, tmp_path: Path, value: int
) -> None:
    mask = np.full((8, 8), value)
    mask[:4] = 255
    truth = _truth(tmp_path / "truth", a=mask)
    message = "only the values 0 and 255" if value == 0 else "all are 255"
    with pytest.raises(ProjectError, match=message):
        evaluate_run(store, run, truth)
    Image.fromarray(np.ones((8, 8), np.uint8)).save(truth / "b.png")
    result = evaluate_run(store, run, truth)
    assert result.images == 1 + (value == 0)
    told = "with only the values 0 and 255" if value == 0 else "with only the value 255"
    assert told in result.notes[0]


@pytest.mark.parametrize(
    ("shape", "message"),
    [((16, 8), None), ((8, 12), None), ((8, 8), ""), ((9, 8), ""), ((3, 3), "")],
)
def test_sides_scale_alike(
    store: ProjectStore,
    run: Path,
    tmp_path: Path,
    shape: tuple[int, int],
    message: str | None,
) -> None:
    truth = _truth(tmp_path / "truth", a=np.ones(shape))
    if message is None:
        with pytest.raises(ProjectError, match=r"pixels \(height x width\)"):
            evaluate_run(store, run, truth)
    else:
        assert evaluate_run(store, run, truth).images == 1


def test_masks_of_a_part_are_refused(store: ProjectStore, tmp_path: Path) -> None:
    image = new_image(tmp_path / "slide.png", 8, 24)
    image = replace(image, bounds=Box(0, 0, 8, 12))
    folder = tmp_path / "slides"
    store.add_source(SourceKind.FOLDER, folder, "slides", TilingPlan(8, 8), [image])
    run = tmp_path / "run"
    create_mask(run, 3, (8, 24))[:] = 1
    truth = _truth(tmp_path / "truth", slide=np.ones((8, 12)))
    with pytest.raises(ProjectError, match="cropped to the scanner bounds"):
        evaluate_run(store, run, truth)


@pytest.fixture
def bounded(store: ProjectStore, tmp_path: Path) -> Path:
    """Add an image, 800 x 1200 at half size, whose bounds are a quarter of it."""
    image = new_image(tmp_path / "slide.png", 800, 1200)
    image = replace(image, downsample=2.0, bounds=Box(100, 200, 200, 300))
    folder = tmp_path / "slides"
    store.add_source(SourceKind.FOLDER, folder, "slides", TilingPlan(8, 8), [image])
    run = tmp_path / "run"
    create_mask(run, 3, (400, 600))[:] = 1
    return run


@pytest.mark.parametrize(
    ("shape", "origin", "told"),
    [
        # Without a word of the file: the sizes of the whole image and of its grid.
        ((800, 1200), None, ""),
        ((400, 600), None, ""),
        # A level of both, unless the file says which.
        ((200, 300), None, "could be of the whole image or of the scanner bounds"),
        ((100, 150), None, "could be of the whole image or of the scanner bounds"),
        ((100, 150), (100, 200), "looks cropped"),
        ((400, 600), (0, 0), ""),
        # What lies there is of another export than the mask.
        ((400, 600), (100, 200), ""),
        ((100, 150), (0, 0), "could be of the whole image or of the scanner bounds"),
        # A size of neither.
        ((90, 135), None, "could be of the whole image or of the scanner bounds"),
    ],
)
def test_a_mask_of_bounds_with_the_sides_of_the_image_is_refused(
    store: ProjectStore,
    bounded: Path,
    tmp_path: Path,
    shape: tuple[int, int],
    origin: tuple[int, int] | None,
    told: str,
) -> None:
    truth = _truth(tmp_path / "truth", slide=np.ones(shape))
    if origin is not None:
        info = LabelImageInfo(store.classes(), downsample=2.0, origin=origin)
        write_json(truth / "slide.classes.json", sidecar_content(info))
    if told:
        with pytest.raises(ProjectError, match=told):
            evaluate_run(store, bounded, truth)
    else:
        assert evaluate_run(store, bounded, truth).mean_iou == 1


def test_bounds_of_another_scale_are_told_by_size(
    store: ProjectStore, tmp_path: Path
) -> None:
    image = new_image(tmp_path / "slide.png", 700, 1400)
    image = replace(image, bounds=Box(0, 0, 100, 200))
    folder = tmp_path / "slides"
    store.add_source(SourceKind.FOLDER, folder, "slides", TilingPlan(8, 8), [image])
    run = tmp_path / "run"
    create_mask(run, 3, (700, 1400))[:] = 1
    truth = _truth(tmp_path / "truth", slide=np.ones((100, 200)))
    with pytest.raises(ProjectError, match="looks cropped to the scanner bounds"):
        evaluate_run(store, run, truth)


@pytest.mark.parametrize("text", ["", "[]", '{"origin": {"y": 1, "x": "a"}}'])
def test_a_class_file_that_says_no_place_is_passed_over(
    store: ProjectStore, run: Path, tmp_path: Path, text: str
) -> None:
    truth = _truth(tmp_path / "truth", a=np.ones((8, 8)))
    (truth / "a.classes.json").write_text(text)
    assert evaluate_run(store, run, truth).images == 1


def test_masks_of_more_classes_are_refused(store: ProjectStore, tmp_path: Path) -> None:
    run = tmp_path / "run"
    create_mask(run, 1, (8, 8))[:] = 3
    truth = _truth(tmp_path / "truth", a=np.ones((8, 8)))
    with pytest.raises(ProjectError, match="more classes than the 2"):
        evaluate_run(store, run, truth)


def test_transposed_masks_are_refused(store: ProjectStore, tmp_path: Path) -> None:
    add(store, tmp_path / "more", "wide.png", width=24)
    run = tmp_path / "run"
    create_mask(run, 3, (8, 24))[:] = 1
    truth = _truth(tmp_path / "truth", wide=np.ones((24, 8)))
    with pytest.raises(ProjectError, match="looks transposed"):
        evaluate_run(store, run, truth)


def test_a_file_that_is_no_mask_stops_no_others(
    store: ProjectStore, run: Path, tmp_path: Path
) -> None:
    truth = _truth(tmp_path / "truth", a=np.ones((8, 8)))
    (truth / "b.png").write_bytes(b"no image")
    (truth / "b.txt").write_bytes(b"no image")
    result = evaluate_run(store, run, truth)
    assert (result.images, result.left_out) == (1, ("b.png",))
    assert (
        "1 ground truth mask skipped because the file cannot be read" in result.notes[0]
    )
    with pytest.raises(ProjectError, match="cannot be read as a mask"):
        evaluate_run(store, run, truth / "b.png")
    (truth / "a.png").unlink()
    with pytest.raises(
        ProjectError, match=r"No image has a ground truth mask .* skipped"
    ):
        evaluate_run(store, run, truth)
    with pytest.raises(ProjectError, match="does not exist"):
        evaluate_run(store, run, truth / "nowhere")


def test_tiff_masks_are_read_at_full_size(tmp_path: Path) -> None:
    mask = np.arange(64, dtype=np.uint8).reshape(8, 8)
    tifffile.imwrite(tmp_path / "mask.tif", mask)
    np.testing.assert_array_equal(read_mask_file(tmp_path / "mask.tif"), mask)


@pytest.mark.parametrize("name", ["m.png", "m.tif"])
@pytest.mark.parametrize("kind", [bool, np.uint16])
def test_masks_of_another_depth_are_read(
    tmp_path: Path, name: str, kind: type[np.generic]
) -> None:
    mask = np.zeros((8, 8), kind)
    mask[:4] = 1
    if name == "m.tif":
        tifffile.imwrite(tmp_path / name, mask)
    else:
        Image.fromarray(mask).save(tmp_path / name)
    read = read_mask_file(tmp_path / name)
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, mask)


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (np.full((8, 8), 256, np.uint16), "the value 256 (16 bits)"),
        (np.full((8, 8), -1, np.int16), "the value -1 (16 bits)"),
        (np.ones((8, 8), np.float32), "not whole numbers (float32)"),
        (np.ones((8, 8, 3), np.uint8), "it has colors"),
        (np.ones((5, 8, 8), np.uint8), "it has 5 x 8 x 8 values, not one channel"),
    ],
)
def test_why_a_mask_of_a_folder_is_not_read_is_told(
    store: ProjectStore, run: Path, tmp_path: Path, pixels: np.ndarray, reason: str
) -> None:
    truth = _truth(tmp_path / "truth", a=np.ones((8, 8)))
    photometric = "rgb" if pixels.shape[-1] == 3 else "minisblack"
    tifffile.imwrite(truth / "b.tif", pixels, photometric=photometric)
    (note,) = evaluate_run(store, run, truth).notes
    assert note.startswith("1 ground truth mask skipped because the file cannot be")
    assert "(b.tif): " in note
    assert reason in note
    (truth / "a.png").unlink()
    with pytest.raises(ProjectError, match="Save masks as class indices"):
        evaluate_run(store, run, truth)


def test_a_mask_without_pixels(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="zero-size"):
        tifffile.imwrite(tmp_path / "none.tif", np.ones((0, 8), np.uint8))
    with pytest.raises(ProjectError, match="it has 0 x 8 pixels"):
        read_mask_file(tmp_path / "none.tif")


def test_pictures_and_broken_files_are_no_masks(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "rgb.png")
    with pytest.raises(ProjectError, match="it has colors, not class indices"):
        read_mask_file(tmp_path / "rgb.png")
    for name in ("broken.tif", "broken.png"):
        (tmp_path / name).write_bytes(b"no image")
        with pytest.raises(ProjectError, match="cannot be read as a mask"):
            read_mask_file(tmp_path / name)


@pytest.mark.parametrize("name", ["a.tif", "a.png"])
def test_files_that_tell_of_too_many_pixels_are_refused(
    store: ProjectStore, run: Path, tmp_path: Path, name: str
) -> None:
    truth = _truth(tmp_path / "truth", b=np.ones((8, 8)))
    large = np.zeros((4097, 4096), np.uint8)
    if name == "a.tif":
        tifffile.imwrite(truth / name, large, compression="zlib")
    else:
        Image.fromarray(large).save(truth / name)
    assert evaluate_run(store, run, truth).left_out == (name,)
    with pytest.raises(ProjectError, match="16,781,312 pixels, and at most 16,777,216"):
        evaluate_run(store, run, truth / name)
    assert read_mask_file(truth / name).shape == large.shape


@pytest.mark.parametrize("name", ["m.tif", "m.png", "m.bmp", "m.gif"])
def test_any_damaged_file_is_read_or_refused(tmp_path: Path, name: str) -> None:
    mask = np.random.default_rng(0).integers(0, 3, (24, 30)).astype(np.uint8)
    if name == "m.tif":
        tifffile.imwrite(tmp_path / name, mask, compression="zlib", tile=(16, 16))
    else:
        Image.fromarray(mask).save(tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    rng = np.random.default_rng(1)
    refused = 0
    for _ in range(150):
        content = bytearray(whole)
        for place in rng.integers(0, min(len(whole), 300), 3):
            content[place] = rng.integers(256)
        (tmp_path / name).write_bytes(content)
        try:
            read_mask_file(tmp_path / name, max_pixels=1 << 24)
        except ProjectError:
            refused += 1
    assert refused > 10

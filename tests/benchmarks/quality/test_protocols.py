import shutil

import numpy as np
import pytest
from PIL import Image

from benchmarks.quality.folder import BenchmarkFolder
from benchmarks.quality.protocol import classes_of, true_class
from benchmarks.quality.protocol_subtype import THRESHOLDS
from benchmarks.quality.protocols import make_protocol
from benchmarks.quality.run import score
from segmix_core.errors import ConfigError, ProjectError


@pytest.fixture
def copy(benchmark_path, tmp_path):
    path = tmp_path / "copy"
    shutil.copytree(benchmark_path, path)
    return path


def edit(path, table, *changes):
    text = (path / table).read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (path / table).write_text(text, encoding="utf-8")


def draw_masks(path, split, rows):
    """Let the first ``rows`` rows of all masks of a split be foreground."""
    for file in (path / "masks").glob(f"{split}_*.png"):
        mask = np.array(Image.open(file))
        value = mask.max()
        mask[:] = 0
        mask[:rows] = value
        Image.fromarray(mask).save(file)


def ramp(image):
    """Maps of both classes that fall from 1 in the first row to 0 in the last."""
    return np.broadcast_to(
        np.linspace(1, 0, 32, dtype=np.float32)[:, None], (2, 32, 32)
    )


def slow_mean_iou(folder, split, threshold):
    """Mean over the classes of the mean IoU of their pixels, one by one."""
    means = []
    for column in range(2):
        counts = np.zeros((2, 2))
        for image in folder.split(split):
            if image.labels[column] != 1:
                continue
            truth, maps = folder.read_mask(image) > 0, ramp(image)
            for y in range(32):
                found = maps[column, y, 0] >= threshold and maps[column, y, 0] > 0
                for x in range(32):
                    counts[int(truth[y, x]), int(found)] += 1
        both = np.diag(counts)
        means.append((both / (counts.sum(0) + counts.sum(1) - both)).mean())
    return np.mean(means)


def test_val_chooses_the_threshold_not_test(copy):
    draw_masks(copy, "val", 8)
    draw_masks(copy, "test", 24)
    folder = BenchmarkFolder(copy)
    protocol = make_protocol("p1", folder)
    chosen = protocol.fit_threshold(ramp)
    by_val, by_test = (
        max(THRESHOLDS, key=lambda t, split=split: slow_mean_iou(folder, split, t))
        for split in ("val", "test")
    )
    assert by_val != by_test
    assert chosen == by_val
    found = score(protocol, ramp, chosen).class_mean_iou
    assert found == pytest.approx(slow_mean_iou(folder, "test", chosen))
    assert found < slow_mean_iou(folder, "test", by_test)


def test_p1_looks_at_the_map_of_the_true_class_only(benchmark_path):
    folder = BenchmarkFolder(benchmark_path)
    protocol = make_protocol("p1", folder)
    image = folder.split("test")[1]
    maps = np.zeros((2, 32, 32), np.float32)
    maps[0] = 9
    maps[1, :4, :4] = 0.5
    maps[1, 4:8, :4] = 0.1
    assert protocol.foreground(image, maps, 0.5).sum() == 16
    assert protocol.foreground(image, maps, 0.1).sum() == 32
    assert not protocol.foreground(image, np.zeros_like(maps), 0.1).any()
    assert protocol.label_names == ("dark", "striped")
    assert len(protocol.training_samples().labels) == 12


def test_p2_takes_the_largest_map_and_no_threshold(benchmark_path):
    folder = BenchmarkFolder(benchmark_path)
    protocol = make_protocol("p2", folder)
    image = folder.split("test")[0]
    maps = np.zeros((2, 32, 32), np.float32)
    maps[0, :, :10] = 0.2
    maps[1, :, 8:] = 0.1
    found = protocol.foreground(image, maps, 0.9)
    assert found[:, :10].all()
    assert not found[:, 10:].any()
    assert protocol.fit_threshold(lambda image: maps) is None
    assert protocol.label_names == ("disc", "nondisc")
    assert len(protocol.training_samples().labels) == 24


def test_masks_equal_to_the_maps_score_one(benchmark_path):
    folder = BenchmarkFolder(benchmark_path)

    def maps_of(image):
        truth = folder.read_mask(image) > 0
        return np.stack([truth, ~truth]).astype(np.float32)

    scores = score(make_protocol("p2", folder), maps_of, 0.0)
    assert scores.all.mean_iou == scores.class_mean_iou == 1
    assert set(scores.by_class) == {"dark", "striped"}


@pytest.mark.parametrize(
    ("name", "foreground"),
    [
        ("has_nondisc", (0,)),
        ("has_background", (0,)),
        ("has_no_disc", (0,)),
        ("has_other", (0,)),
        ("has_rest", (0,)),
    ],
)
def test_background_tags_have_telling_names(copy, name, foreground):
    edit(copy, "patches.csv", ("has_nondisc", name))
    assert make_protocol("p2", BenchmarkFolder(copy)).foreground_tags == foreground


@pytest.mark.parametrize(
    "changes", [[("has_nondisc", "has_square")], [("has_disc", "has_nondisk")]]
)
def test_tags_need_a_foreground_and_a_background(copy, changes):
    edit(copy, "patches.csv", *changes)
    with pytest.raises(ConfigError, match="foreground and one for background"):
        _ = make_protocol("p2", BenchmarkFolder(copy)).foreground_tags


def test_p1_needs_one_class_an_image(copy):
    edit(copy, "labels.csv", ("val_0.png,val,1,0", "val_0.png,val,1,1"))
    image = BenchmarkFolder(copy).split("val")[0]
    with pytest.raises(ConfigError, match=r"one class per image, but val_0\.png has 2"):
        true_class(image)
    assert classes_of([image], ["dark", "striped"]) == ["several"]


def test_an_unknown_protocol_is_named(benchmark_path):
    with pytest.raises(ConfigError, match="'p3' is not a valid protocol"):
        make_protocol("p3", BenchmarkFolder(benchmark_path))


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_every_split_needs_images(copy, split):
    edit(copy, "labels.csv", (f",{split},", f",{'val' if split != 'val' else 'test'},"))
    folder = BenchmarkFolder(copy)
    with pytest.raises(ProjectError, match=f"images in the split '{split}'"):
        folder.split(split)


@pytest.mark.parametrize(
    ("table", "old", "new", "message"),
    [
        ("labels.csv", "val_0.png,val,1,0", "val_0.png,val,yes,0", r"is_dark of val_0"),
        (
            "patches.csv",
            "train_0.png,train,8,0,16",
            "train_0.png,train,8,,16",
            "y of",
        ),
        ("classes.csv", "1,dark", "one,dark", "mask_value of dark"),
    ],
)
def test_what_is_no_number_is_named(copy, table, old, new, message):
    edit(copy, table, (old, new))
    folder = BenchmarkFolder(copy)
    with pytest.raises(ProjectError, match=message):
        _ = folder.class_names, folder.images, folder.windows


def test_a_damaged_image_is_named(copy):
    file = copy / "images" / "test_0.png"
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(ProjectError, match=r"test_0\.png cannot be read as an image"):
        BenchmarkFolder(copy).read_image("test_0.png")


def test_windows_decide_what_a_slide_is(benchmark_path):
    folder = BenchmarkFolder(benchmark_path, "val")
    assert make_protocol("p1", folder).folder.window_px is None
    protocol = make_protocol("p2", folder)
    assert protocol.folder.window_px == folder.windows[0].box.height
    assert protocol.folder.scored == "val"

import shutil
from pathlib import Path

import pytest

from benchmarks.quality.folder import BenchmarkFolder
from segmix_core.errors import ConfigError, ProjectError
from segmix_core.geometry import Box


def test_tables_are_read(benchmark_path: Path) -> None:
    folder = BenchmarkFolder(benchmark_path)
    assert folder.class_names == ("dark", "striped")
    assert len(folder.images) == 22
    assert folder.split("test")[1].labels == (0, 1)
    assert folder.tag_names == ("disc", "nondisc")
    assert folder.windows[1].box == Box(16, 8, 16, 16)


def test_pixels_are_read(benchmark_path: Path) -> None:
    folder = BenchmarkFolder(benchmark_path)
    image = folder.split("test")[1]
    assert folder.read_image(image.name).shape == (32, 32, 3)
    assert set(folder.read_mask(image).flat) == {0, 2}


def test_train_masks_are_never_read(benchmark_path: Path) -> None:
    folder = BenchmarkFolder(benchmark_path)
    with pytest.raises(ValueError, match="train image"):
        folder.read_mask(folder.split("train")[0])


def test_test_masks_are_not_read_while_val_is_scored(benchmark_path: Path) -> None:
    folder = BenchmarkFolder(benchmark_path, "val")
    assert folder.scored_images == folder.split("val")
    assert folder.read_mask(folder.split("val")[0]).any()
    with pytest.raises(ValueError, match="test image"):
        folder.read_mask(folder.split("test")[0])
    with pytest.raises(ValueError, match="train image"):
        folder.read_mask(folder.split("train")[0])


@pytest.mark.parametrize("split", ["train", "exam"])
def test_only_val_and_test_can_be_scored(benchmark_path: Path, split: str) -> None:
    with pytest.raises(
        ConfigError, match=f"'{split}' is not a split to score.*val, test"
    ):
        BenchmarkFolder(benchmark_path, split)


@pytest.mark.parametrize(
    ("table", "old", "new", "message"),
    [
        ("classes.csv", "2,striped", "3,striped", "must number the classes"),
        ("labels.csv", "test_0.png,test", "test_0.png,exam", "unknown split 'exam'"),
        ("labels.csv", "is_dark", "is_black", "no column is_dark"),
        ("patches.csv", "size", "edge", "no column size"),
    ],
)
def test_a_wrong_table_is_named(
    benchmark_path: Path, tmp_path: Path, table: str, old: str, new: str, message: str
) -> None:
    shutil.copytree(benchmark_path, tmp_path / "copy")
    path = tmp_path / "copy" / table
    text = path.read_text(encoding="utf-8").replace(old, new)
    path.write_text(text, encoding="utf-8")
    folder = BenchmarkFolder(tmp_path / "copy")
    with pytest.raises(ProjectError, match=message):
        _ = folder.class_names, folder.images, folder.windows


def test_a_missing_table_or_image_is_named(tmp_path: Path) -> None:
    folder = BenchmarkFolder(tmp_path)
    with pytest.raises(ProjectError, match=r"classes\.csv cannot be read as a table"):
        _ = folder.class_names
    with pytest.raises(ProjectError, match=r"a\.png cannot be read as an image"):
        folder.read_image("a.png")

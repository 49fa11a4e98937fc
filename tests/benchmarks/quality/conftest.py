"""A tiny benchmark folder: dark discs (class "dark") and stripes (class "striped")."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from benchmarks.__main__ import app

SIDE = 32


@pytest.fixture
def command():
    """Run a command line; the result has ``exit_code``, ``stdout`` and ``stderr``."""

    def run(*arguments):
        words = [str(argument) for argument in arguments]
        return CliRunner(env={"COLUMNS": "200"}).invoke(app, words)

    return run


def draw(kind: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[:SIDE, :SIDE]
    cy, cx = rng.integers(12, SIDE - 12, 2)
    inside = np.hypot(y - cy, x - cx) < 9
    image = rng.normal(200, 8, (SIDE, SIDE, 3))
    image[inside] -= 90
    if kind == "striped":
        image[inside & (x % 4 < 2)] += 60
    return image.clip(0, 255).astype(np.uint8), inside


@pytest.fixture(scope="session")
def benchmark_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("benchmark é [1]")
    rng = np.random.default_rng(0)
    (path / "images").mkdir()
    (path / "masks").mkdir()
    kinds = ("dark", "striped")
    rows, windows = [], []
    for split, count in (("train", 6), ("val", 2), ("test", 3)):
        for number in range(count * len(kinds)):
            kind = kinds[number % 2]
            name = f"{split}_{number}.png"
            image, inside = draw(kind, rng)
            Image.fromarray(image).save(path / "images" / name)
            mask = inside * np.uint8(kinds.index(kind) + 1)
            if split != "train":
                Image.fromarray(mask).save(path / "masks" / name)
            rows.append([name, split, *(int(kind == other) for other in kinds)])
            if split != "test":
                for y in (0, 16):
                    part = inside[y : y + 16, 8:24].mean()
                    tags = int(part > 0.1), int(part < 0.9)
                    windows.append([name, split, 8, y, 16, *tags])
    tables = {
        "classes.csv": (
            ["mask_value", "class_name"],
            [[0, "background"], [1, "dark"], [2, "striped"]],
        ),
        "labels.csv": (["filename", "split", "is_dark", "is_striped"], rows),
        "patches.csv": (
            ["filename", "split", "x", "y", "size", "has_disc", "has_nondisc"],
            windows,
        ),
    }
    for table, (header, content) in tables.items():
        with (path / table).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([header, *content])
    return path


@pytest.fixture(scope="session")
def known_path(benchmark_path, tmp_path_factory):
    """The same folder, with masks of its train images."""
    path = tmp_path_factory.mktemp("known") / "folder"
    shutil.copytree(benchmark_path, path)
    with (path / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "train"]
    for row in rows:
        image = np.array(Image.open(path / "images" / row["filename"]))
        value = 1 + int(row["is_striped"])
        mask = (image.mean(axis=2) < 185) * np.uint8(value)
        Image.fromarray(mask).save(path / "masks" / row["filename"])
    return path


@pytest.fixture
def dark_discs(tmp_path):
    """Images of two classes, 32 pixels: a square, light or dark."""
    path = tmp_path / "data é [3]"
    rng = np.random.default_rng(0)
    rows = []
    for folder in ("images", "masks"):
        (path / folder).mkdir(parents=True)
    for split, count in (("train", 6), ("val", 2), ("test", 2)):
        for number in range(count):
            name = f"{split}{number}.png"
            image = rng.normal(200, 5, (32, 32, 3))
            image[8:24, 8:24] -= 60 + 80 * (number % 2)
            Image.fromarray(image.astype(np.uint8)).save(path / "images" / name)
            mask = np.zeros((32, 32), np.uint8)
            mask[8:24, 8:24] = 1 + number % 2
            if split != "train":
                Image.fromarray(mask).save(path / "masks" / name)
            rows.append([name, split, 1 - number % 2, number % 2])
    tables = {
        "classes.csv": [["mask_value", "class_name"], [1, "light"], [2, "dark"]],
        "labels.csv": [["filename", "split", "is_light", "is_dark"], *rows],
    }
    for name, content in tables.items():
        with (path / name).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(content)
    return path

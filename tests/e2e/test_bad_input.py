"""What a user may get wrong, through the command line: a sentence, and nothing lost."""

import re

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from segmix_core.events import Warned
from segmix_core.models.cam_classifier import CamClassifier
from segmix_core.project.store import ProjectStore
from segmix_core.runs import list_runs
from segmix_core.runs.results import mask_ids, open_mask


def refused(found, expected, got, hint):
    """Check a refusal: exit code 2, what is wrong, what to do."""
    code, said = found
    said = said | said.get("results", {})
    assert code == 2, said
    for pattern in (expected, got):
        assert re.search(pattern, said["message"]), said["message"]
    assert re.search(hint, said["hint"]), said["hint"]


def save_tiff(path, dtype=np.uint8, shape=(300, 300, 3), **options):
    values = np.random.default_rng(0).integers(0, 255, shape).astype(dtype)
    kind = "rgb" if len(shape) == 3 else "minisblack"
    tifffile.imwrite(path, values, photometric=kind, tile=(128, 128), **options)
    return path


def save_text(path):
    path.write_text("hello", encoding="utf-8")
    return path


def save_half(path):
    save_tiff(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def save_png(path, mode, size=(64, 64)):
    Image.new(mode, size).save(path)
    return path


NO_READER = (
    "not a slide or image",
    "that SegMix can read",
    "Export it from its viewer",
)
NOT_8_BIT = "8-bit RGB or grayscale", "16"
UNUSABLE = {
    "a text called png": (lambda d: save_text(d / "a.png"), [], *NO_READER),
    "a text called tif": (lambda d: save_text(d / "a.tif"), [], *NO_READER),
    "a document": (lambda d: save_text(d / "a.docx"), [], *NO_READER),
    "no file": (
        lambda d: d / "gone.tif",
        *([], "does not exist", r"gone\.tif", "Check the name"),
    ),
    "a truncated TIFF": (
        lambda d: save_half(d / "half.tif"),
        *([], r"half\.tif is truncated", "bytes", "Copy it again"),
    ),
    "a slide without pixel size": (
        lambda d: save_tiff(d / "slide.tif"),
        *(
            ["--mpp", 0.5],
            r"slide\.tif cannot be resampled",
            "not state its pixel size",
        ),
        "Pass its µm per pixel",
    ),
    "16 bits, RGB": (
        lambda d: save_tiff(d / "deep.tif", np.uint16),
        *([], *NOT_8_BIT, "Convert it to 8-bit RGB"),
    ),
    "16 bits, gray": (
        lambda d: save_tiff(d / "deep.tif", np.uint16, (300, 300)),
        *([], *NOT_8_BIT, "Convert it to 8-bit RGB"),
    ),
    "16 bits, PNG": (
        lambda d: save_png(d / "deep.png", "I;16"),
        *([], *NOT_8_BIT, "Convert it to 8-bit RGB"),
    ),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_images_that_cannot_be_used(name, tmp_path, project, answer, content):
    make, options, *sentence = UNUSABLE[name]
    before = content(project)
    refused(answer("add", project, make(tmp_path), *options), *sentence)
    assert content(project) == before


@pytest.mark.parametrize(
    ("mode", "note"), [("L", "repeated in the red"), ("RGBA", "laid on white")]
)
def test_gray_and_transparent_images_are_taken_with_a_note(
    tmp_path, project, answer, mode, note
):
    code, said = answer("add", project, save_png(tmp_path / "one.png", mode))
    assert (code, said["sources"][0]["tiles"]) == (0, 1)
    assert note in said["notes"][0]


def test_tiles_of_different_sizes_are_padded(tmp_path, answer, project, stage):
    folder = tmp_path / "sizes"
    folder.mkdir()
    for number, size in enumerate([(40, 30), (64, 33), (20, 64)]):
        save_png(folder / f"{number}.png", "RGB", size)
    code, said = answer("add", project, folder)
    assert code == 0
    assert "padded to 64 pixels" in said["notes"][0]
    assert stage("train", project)[0] == 0


def test_tiles_of_very_different_sizes_are_refused(tmp_path, answer, project, content):
    before = content(project)
    folder = tmp_path / "sizes"
    folder.mkdir()
    for number, size in enumerate([(40, 300), (200, 200)]):
        save_png(folder / f"{number}.png", "RGB", size)
    refused(
        answer("add", project, folder),
        *("can differ 4 times", r"0\.png has a side of 40 pixels", "folder"),
    )
    assert content(project) == before


@pytest.mark.parametrize(
    ("method", "setting", "expected", "hint"),
    [
        (
            "segmix",
            "train.patch_sizes=[64]",
            "divide a tile of 32 x 32",
            "Choose from 8, 16",
        ),
        (
            "fixed-shuffle",
            "train.patch_size=64",
            "not a patch size of this run",
            "16, 8",
        ),
    ],
)
def test_patches_larger_than_the_tile(
    project, stage, method, setting, expected, hint, content
):
    labels = content(project)[:-1]
    answer = stage("train", project, f"train.method={method}", setting)
    refused(answer, expected, "64", hint)
    assert content(project)[:-1] == labels


@pytest.mark.parametrize(
    ("name", "setting", "got"),
    [
        ("train", "train.epochs=0", "greater than or equal to 1"),
        ("train", "train.epoch=3", "has no setting 'epoch'"),
        ("cams", "cams.scales=[]", "one or more numbers above 0"),
        ("cams", "cams.scales=[1.0, 0]", "one or more numbers above 0"),
        ("predict", "predict.overlap_px=40", "less than half of window_px"),
    ],
)
def test_settings_out_of_range(project, stage, content, name, setting, got):
    before = content(project)
    code, said = stage(name, project, setting)
    assert (code, said["error"]) == (2, "ConfigError")
    assert got in said["message"]
    assert content(project) == before


LABELS = {
    "a class that no tile has": (
        [[1, 0]] * 8,
        *("No training tile is labeled", "'dark'"),
        "Label at least one training tile of 'dark'",
    ),
    "nothing labeled": ([[-1, -1]] * 8, "No tile", "has a label", "of every class"),
    "all absent": (
        [[0, 0]] * 8,
        *("No training tile is labeled", "'light', 'dark'", "Label at least one"),
    ),
}


@pytest.mark.parametrize("name", LABELS)
def test_labels_that_cannot_train(name, project, stage, content):
    labels, *sentence = LABELS[name]
    with ProjectStore.open(project) as store:
        store.set_labels(store.tiles().ids, np.array(labels, np.int8))
    before = content(project)
    refused(stage("train", project), *sentence)
    assert content(project) == before


def test_one_class_needs_a_tile_without_it(
    tmp_path, labeled, stage, content, draw_tiles
):
    project = labeled(tmp_path / "p", draw_tiles(tmp_path / "t"), ["light"])
    assert stage("train", project)[0] == 0
    with ProjectStore.open(project) as store:
        ids = store.tiles().ids
        store.set_labels(ids, np.ones((len(ids), 1), np.int8))
    before = content(project)
    sentence = "only class, 'light'", "in every labeled tile", "Add a second class"
    refused(stage("train", project), *sentence)
    assert content(project) == before


CSV = {
    "an unknown class": ("is_light,is_zebra\ntile0.png,1,0", r"unknown.*\(zebra\)"),
    "a missing file": ("is_light,is_dark\ntile0.png,0,1\ngone.png,0,1", r"gone\.png"),
    "no number": ("is_light,is_dark\ntile0.png,maybe,1", "maybe"),
}


@pytest.mark.parametrize("name", CSV)
def test_tables_that_do_not_fit(name, tmp_path, project, answer, content):
    text, got = CSV[name]
    table = tmp_path / "labels.csv"
    table.write_text(f"filename,{text}\n", encoding="utf-8")
    before = content(project)
    refused(answer("import-labels", project, table), r"labels\.csv", got, "Correct")
    assert content(project) == before


LOOP = ("train", "cams", "pseudo-masks", "train-segmenter", "predict", "export")


@pytest.mark.parametrize(
    ("count", "batch", "edge"), [(9, 4, 32), (3, 2, 32), (9, 8, 8), (3, 2, 8)]
)
def test_odd_batches_and_tiny_tiles(
    tmp_path, labeled, stage, count, batch, edge, draw_tiles
):
    tiles = draw_tiles(tmp_path / "t", count, (edge, edge))
    project = labeled(tmp_path / "p", tiles)
    batches = f"train.batch_size={batch}", f"segmenter.batch_size={batch}"
    for name in LOOP:
        code, said = stage(name, project, *batches)
        assert code == 0, said
    with ProjectStore.open(project) as store:
        (run,) = (r for r in list_runs(store.runs_path) if "predict" in r.name)
    assert len(mask_ids(run.path)) == count
    assert open_mask(run.path, 1).shape == (edge, edge)


@pytest.mark.parametrize("decoder", ["fpn", "deeplabv3plus"])
def test_a_batch_of_one_tile_for_every_decoder(
    tmp_path, labeled, stage, decoder, draw_tiles
):
    project = labeled(tmp_path / "p", draw_tiles(tmp_path / "t", 3))
    for name in LOOP[:4]:
        settings = f"segmenter.decoder={decoder}", "segmenter.batch_size=2"
        code, said = stage(name, project, *settings)
        assert code == 0, said


def test_unusual_paths_through_the_whole_loop(
    tmp_path, labeled, answer, stage, draw_tiles
):
    root = tmp_path / "Präparate [2024] 日本 & 'x'"
    project = labeled(root / "größe [1].segmix", draw_tiles(root / "tiles [a] é"))
    slide = save_tiff(root / "slide #1 [ö] %20.tif", shape=(300, 400, 3))
    assert answer("add", project, slide, "--tile-px", 64, "--min-tissue", 0)[0] == 0
    for name in LOOP:
        code, said = stage(name, project)
        assert code == 0, said
    exports = {path.name for path in (project / "exports").iterdir()}
    assert {"slide #1 [ö] %20.ome.tif", "tile0.ome.tif"} <= exports


def test_memory_that_runs_out_halves_the_batch(project, stage, monkeypatch):
    forward = CamClassifier.forward
    monkeypatch.setattr(CamClassifier, "forward", _hungry(forward, most=2))
    code, said = stage("train", project, "train.method=cam")
    assert code == 0, said
    (run,) = list_runs(project / "runs")
    (warning,) = [e.message for e in run.events()[0] if isinstance(e, Warned)]
    assert "Memory ran out on cpu: batches of 4 tiles are now computed 2" in warning


def test_memory_for_not_even_one_tile(project, stage, monkeypatch, content):
    labels = content(project)[:-1]
    monkeypatch.setattr(CamClassifier, "forward", _hungry(None, most=0))
    found = stage("train", project, "train.method=cam")
    sentence = (
        "memory for 1 tiles of 32 x 32",
        "cpu has too little",
        "Use smaller tiles",
    )
    refused(found, *sentence)
    assert content(project)[:-1] == labels


def _hungry(forward, most):
    def run(self, images):
        if self.training and len(images) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, images)

    return run

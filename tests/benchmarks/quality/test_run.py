import json
import math

import numpy as np
import pytest
import torch

from benchmarks.quality.folder import BenchmarkFolder
from benchmarks.quality.maps import class_maps
from benchmarks.quality.protocol_maps import protocol_maps
from benchmarks.quality.protocols import make_protocol
from benchmarks.quality.pseudo import protocol_teacher
from benchmarks.quality.run import run_method, score_trivial
from benchmarks.quality.trivial import TRIVIAL_PREDICTORS
from benchmarks.quality.variants import Variant
from segmix_core.errors import ProjectError
from segmix_core.events import Metrics, StageStarted
from segmix_core.models.cam_classifier import CamClassifier
from segmix_core.settings import RunSettings
from segmix_core.training.fit_settings import FitResult

CONFIG = RunSettings().replace(
    {
        "train.epochs": 2,
        "train.batch_size": 6,
        "train.width": 8,
        "segmenter.epochs": 1,
        "pseudo_masks.min_object_px": 0,
        "pseudo_masks.margin": 0.0,
        "cams.scales": [1.0],
        "cams.flips": False,
        "machine.device": "cpu",
        "machine.threads": 1,
    }
)


class Listener:
    """Collects events; asks to stop if told so."""

    def __init__(self, stop=False):
        self.events = []
        self.stop = stop

    def emit(self, event):
        self.events.append(event)

    def should_stop(self):
        return self.stop

    def save_preview(self, step, content, **arrays):
        pass


def numbers(content):
    if isinstance(content, dict):
        for value in content.values():
            yield from numbers(value)
    elif isinstance(content, float):
        yield content


def run(path, protocol, method, listener=None, config=CONFIG, **options):
    found = make_protocol(protocol, BenchmarkFolder(path))
    variant = method if isinstance(method, Variant) else Variant(method)
    return list(run_method(found, variant, config, listener or Listener(), **options))


@pytest.mark.parametrize(
    ("protocol", "method"),
    [
        ("p1", "segmix"),
        ("p1", "cam"),
        ("p1", "grad-cam"),
        ("p1", "puzzle-cam"),
        ("p2", "fixed-shuffle"),
        ("p2", "seam"),
        ("p2", "segmix-plus"),
        ("p2", "cellmix-schedule"),
        ("p2", "grad-cam"),
    ],
)
def test_a_method_is_trained_and_scored(benchmark_path, protocol, method):
    # The folder has no masks of train images: whoever asked for one would fail.
    assert not list((benchmark_path / "masks").glob("train*"))
    listener = Listener()
    (result,) = run(benchmark_path, protocol, method, listener)
    content = result.to_json()
    assert (content["method"], content["seed"]) == (method, 0)
    assert (content["scored"], content["reads_train_masks"]) == ("maps", False)
    assert (content["threshold"] is None) == (protocol == "p2")
    assert set(content["by_class"]) == {"dark", "striped"}
    assert all(math.isfinite(number) for number in numbers(content))
    assert any(isinstance(event, StageStarted) for event in listener.events)
    assert any(isinstance(event, Metrics) for event in listener.events)


@pytest.mark.parametrize("protocol", ["p1", "p2"])
def test_the_ceiling_reads_train_masks_and_says_so(
    benchmark_path, known_path, protocol
):
    rows = run(known_path, protocol, "full", segmenter=True)
    assert [row.scored for row in rows] == ["maps", "segmenter"]
    assert all(row.to_json()["reads_train_masks"] for row in rows)
    with pytest.raises(
        ProjectError, match=r"train_\d+\.png cannot be read as an image"
    ):
        run(benchmark_path, protocol, "full")


@pytest.mark.parametrize("protocol", ["p1", "p2"])
def test_a_segmenter_is_scored_beside_the_maps(benchmark_path, protocol):
    listener = Listener()
    maps, segmenter = run(benchmark_path, protocol, "cam", listener, segmenter=True)
    assert (maps.scored, segmenter.scored) == ("maps", "segmenter")
    assert maps.threshold == segmenter.threshold
    assert maps.scores != segmenter.scores
    assert run(benchmark_path, protocol, "cam") == [maps]
    started = [e.stage for e in listener.events if isinstance(e, StageStarted)]
    assert started == ["train", "train-segmenter"]


def test_a_stop_while_the_segmenter_trains_keeps_the_maps(benchmark_path):
    class StopLate(Listener):
        def should_stop(self):
            stages = [e.stage for e in self.events if isinstance(e, StageStarted)]
            return "train-segmenter" in stages

    config = CONFIG.replace({"segmenter.batch_size": 2})
    (row,) = run(benchmark_path, "p1", "cam", StopLate(), segmenter=True, config=config)
    assert row.scored == "maps"


def test_a_seed_decides_the_result(benchmark_path):
    (zero,), (again,), (one,) = (
        run(benchmark_path, "p1", "segmix", config=CONFIG.replace({"train.seed": seed}))
        for seed in (0, 0, 1)
    )
    assert zero == again
    assert zero.scores != one.scores
    assert one.seed == 1


def test_a_row_trains_with_its_own_settings(benchmark_path):
    wide = Variant("cam", {"train.width": 16, "train.learning_rate": 0.01})
    rows = run(benchmark_path, "p1", wide, segmenter=True)
    assert [row.to_json()["settings"] for row in rows] == [dict(wide.changes)] * 2
    assert {row.method for row in rows} == {wide.name}
    everywhere = CONFIG.replace(dict(wide.changes))
    (same,) = run(benchmark_path, "p1", "cam", config=everywhere)
    (plain,) = run(benchmark_path, "p1", "cam")
    assert rows[0].scores == same.scores != plain.scores


def test_a_stopped_training_has_no_result(benchmark_path):
    assert run(benchmark_path, "p1", "cam", Listener(stop=True)) == []


def test_trivial_predictors_are_scored_beside(benchmark_path):
    results = {r.method: r for r in score_trivial(BenchmarkFolder(benchmark_path))}
    assert list(results) == list(TRIVIAL_PREDICTORS)
    everything = results["all foreground"].to_json()
    assert everything["seed"] is everything["threshold"] is None
    assert everything["background_iou"] == 0
    assert everything["scored"] == "trivial"
    assert results["all background"].scores.all.foreground_iou == 0
    assert results["Otsu, dark green"].scores.all.mean_iou > 0.8
    assert "NaN" not in json.dumps([r.to_json() for r in results.values()])


@pytest.mark.parametrize("protocol", ["p1", "p2"])
@pytest.mark.parametrize("normalized", [True, False])
def test_networks_are_shown_normalized_images_alone(
    benchmark_path, monkeypatch, protocol, normalized
):
    blacks = []
    look = CamClassifier.forward

    def forward(model, images):
        blacks.append((model.training, float(images.max()) == 0))
        return look(model, images)

    def blacken(folder, name):
        return np.zeros_like(folder.read_image(name))

    # Black stands for what normalizing makes of an image.
    monkeypatch.setattr(BenchmarkFolder, "read_normalized_image", blacken)
    monkeypatch.setattr(CamClassifier, "forward", forward)
    changes = {"train.stain_normalization": normalized}
    run(benchmark_path, protocol, Variant("segmix-plus", changes))
    # Two networks learn, make masks and are scored.
    assert {training for training, _ in blacks} == {True, False}
    assert {is_black for _, is_black in blacks} == {normalized}


@pytest.mark.parametrize("shared", [True, False])
def test_the_true_class_has_the_foreground_of_all_in_p1(benchmark_path, shared):
    protocol = make_protocol("p1", BenchmarkFolder(benchmark_path))
    torch.manual_seed(0)
    model = CamClassifier(
        num_classes=2, width=8, pooled_share=0.1, shared_foreground=shared
    ).eval()
    ask = class_maps(model, RunSettings())
    image = protocol.folder.split("test")[0]
    plain = ask(protocol.folder.read_image(image.name)[None])[0]
    expected = plain
    if shared:
        own = np.array(image.labels)[:, None, None]
        expected = plain.sum(0) * own
    found = protocol_maps(protocol, model, ask)(image.name)
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("protocol", "background"), [("p1", "score"), ("p2", "none")])
def test_the_protocol_says_what_is_background(
    benchmark_path, monkeypatch, protocol, background
):
    seen = []
    monkeypatch.setattr(
        "benchmarks.quality.run.protocol_teacher",
        lambda protocol, config: seen.append(config.pseudo_masks.background),
    )
    monkeypatch.setattr(
        "benchmarks.quality.run.fit_rounds",
        lambda *arguments, **options: (FitResult("canceled", 0, 1), None),
    )
    run(benchmark_path, protocol, Variant("segmix-plus"))
    assert seen == [background]


def test_labels_are_known_of_images_alone(benchmark_path):
    folder = BenchmarkFolder(benchmark_path)
    name = folder.images[0].name
    known = [make_protocol(p, folder).known_labels(name) for p in ("p1", "p2")]
    assert known == [(1, 0), (-1, -1)]


@pytest.mark.parametrize("shared", [True, False])
def test_masks_of_p1_tell_of_all_classes_where_they_share(benchmark_path, shared):
    protocol = make_protocol("p1", BenchmarkFolder(benchmark_path))
    config = RunSettings().replace({"train.shared_foreground": shared})
    torch.manual_seed(0)
    model = CamClassifier(num_classes=2, width=8)
    taught = protocol_teacher(protocol, config)(model, Listener()).labels
    own = protocol.training_samples().labels
    assert np.array_equal(taught, np.ones_like(own) if shared else own)

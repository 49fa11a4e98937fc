from dataclasses import replace

import numpy as np
import pytest
import torch

from segmix_core.curriculum.mixed_labels import LabelRule
from segmix_core.errors import CheckpointError, ConfigError, ProjectError
from segmix_core.events import (
    CheckpointWritten,
    Metrics,
    PreviewWritten,
    StageStarted,
    Warned,
)
from segmix_core.methods import (
    METHODS,
    Cam,
    FixedShuffle,
    PuzzleCam,
    Seam,
    SegMix,
    SegMixPlus,
)
from segmix_core.models.checkpoint import load_checkpoint
from segmix_core.models.precision import has_bf16
from segmix_core.pipeline import run_stage
from segmix_core.runs import RunState, follow, launch
from segmix_core.runs.child import run_child
from segmix_core.runs.previews import load_preview
from segmix_core.runs.results import load_tiles
from segmix_core.training.losses import LossWeights
from segmix_core.training.method_parts import Steps, parts_of

STEPS = Steps(tile_px=64, stride=8, epochs=8, per_epoch=10)


def tensors(folder):
    found = load_checkpoint(folder.checkpoints_path / "last", with_training=True)
    return found.weights | found.training


def assert_same(one, other):
    first, second = tensors(one), tensors(other)
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def test_a_run_leaves_weights_previews_and_results(folder):
    run = folder.run("train")
    ended = run.ended()
    assert ended.results == {"steps": 4, "tiles": 12}
    checkpoint = load_checkpoint(run.checkpoints_path / "last", kind="classifier")
    assert checkpoint.class_names == ("plain", "striped")
    assert checkpoint.step == 4
    events, _ = run.events()
    started = next(e for e in events if isinstance(e, StageStarted))
    assert (started.total_steps, started.device) == (4, "cpu")
    assert {e.content for e in events if isinstance(e, PreviewWritten)} == {
        "shuffled",
        "cam",
    }


def test_previews_are_of_tiles_spread_over_the_project(slide):
    run = slide.run("train", changes={"train.epochs": 1})
    events, _ = run.events()
    path = next(
        e.path for e in events if isinstance(e, PreviewWritten) and e.content == "cam"
    )
    ids = load_preview(run.path / path)["tile_ids"]
    with slide.store() as store:
        tiles = store.tiles().ids
    assert len(ids) == 16
    assert {ids[0], ids[-1]} == {tiles[0], tiles[-1]}


def val_losses(run):
    metrics = [e for e in run.events()[0] if isinstance(e, Metrics)]
    return [(e.step, e.values["val_loss"]) for e in metrics if "val_loss" in e.values]


def test_tiles_of_val_are_measured_and_the_best_epoch_makes_the_maps(folder):
    with folder.store() as store:
        ids = np.array([image.id for image in store.images()])
        store.set_splits(ids[-4:], ["val"] * 4)
        # Labels that are wrong: the more is learned, the higher the loss on val.
        tiles = store.tiles()
        is_val = np.isin(tiles.image_ids, ids[-4:])
        store.set_labels(tiles.ids[is_val], 1 - tiles.labels[is_val])
    changes = {"train.epochs": 4, "train.learning_rate": 0.02}
    runs = {
        keep: folder.run("train", changes={**changes, "train.keep": keep})
        for keep in ("last", "best")
    }
    measured = val_losses(runs["best"])
    # Eight tiles of train are one step an epoch.
    assert [step for step, _ in measured] == [1, 2, 3, 4]
    assert measured == val_losses(runs["last"])
    assert runs["best"].ended().results["tiles"] == 8
    assert not (runs["last"].checkpoints_path / "best").exists()
    best = load_checkpoint(runs["best"].checkpoints_path / "best")
    assert best.extra["scores"]["loss"] == min(loss for _, loss in measured)
    assert best.step < 4
    found = {
        keep: load_tiles(folder.run("cams", inputs={"train": run.path}).path)
        for keep, run in runs.items()
    }
    assert (found["best"]["scales"] != found["last"]["scales"]).any()


def test_without_tiles_of_val_nothing_is_measured_and_the_last_weights_count(folder):
    run = folder.run("train", changes={"train.epochs": 1, "train.keep": "best"})
    assert val_losses(run) == []
    assert not (run.checkpoints_path / "best").exists()
    folder.run("cams", inputs={"train": run.path})


@pytest.mark.parametrize("method", [m for m in METHODS if m != "segmix"])
def test_every_method_trains(folder, method):
    changes = {"train.method": method, "train.epochs": 2}
    assert folder.run("train", changes=changes).ended().results["steps"] == 4


def test_stopped_and_resumed_in_a_process_is_the_unbroken_run(folder):
    changes = {"train.epochs": 3}
    whole = folder.run("train", changes=changes)
    writer = folder.stop("train", after=3, changes=changes)
    broken = writer.folder
    assert writer.stopped
    assert broken.state() is RunState.CANCELED
    assert load_checkpoint(broken.checkpoints_path / "last").step == 3
    broken.stop_path.unlink()
    launch(broken)
    events = [event for batch in follow(broken) for event in batch]
    assert broken.state() is RunState.COMPLETED, broken.log_tail()
    assert [e.resumed_at for e in events if isinstance(e, StageStarted)] == [0, 3]
    assert_same(whole, broken)


def test_a_stop_ends_within_a_step(folder):
    writer = folder.stop("train")
    assert writer.asked == 1
    events, _ = writer.folder.events()
    assert [e.step for e in events if isinstance(e, CheckpointWritten)] == [1]


def test_labels_that_changed_too_much_end_a_resumed_run(folder):
    changes = {"train.batch_size": 4}
    writer = folder.stop("train", changes=changes)
    with folder.store() as store:
        ids = store.tiles().ids[-4:]
        store.set_labels(ids, [[-1, -1]] * 4)
    writer.folder.stop_path.unlink()
    assert run_child(writer.folder, run_stage) == 2
    assert "start a new run" in writer.folder.ended().text


def test_an_added_class_ends_a_resumed_run(folder):
    writer = folder.stop("train")
    with folder.store() as store:
        store.add_class("third")
        tiles = store.tiles()
        store.set_labels(tiles.ids[:1], [[1, 0, 1]])
    writer.folder.stop_path.unlink()
    assert run_child(writer.folder, run_stage) == 2
    assert writer.folder.ended().results["error"] == CheckpointError.__name__


def test_labels_are_checked(folder):
    with folder.store() as store:
        ids = store.tiles().ids
        store.set_labels(ids, [[1, 0]] * len(ids))
    with pytest.raises(ProjectError, match="No training tile is labeled 'striped'"):
        folder.attempt("train")


def test_an_unreadable_tile_is_left_out_with_a_warning(folder):
    with folder.store() as store:
        path = store.images()[3].path
    path.unlink()
    run = folder.run("train", changes={"train.epochs": 1})
    (warning,) = [e.message for e in run.events()[0] if isinstance(e, Warned)]
    assert path.name in warning


def test_a_method_has_the_weights_of_its_own_terms():
    weights = {name: parts_of(make()).weights for name, make in METHODS.items()}
    assert {name for name, found in weights.items() if found.puzzle} == {"puzzle-cam"}
    method = SegMix(shuffle_weight=3, er_weight=0.5, ecr_weight=2)
    assert parts_of(method).weights == LossWeights(shuffle=3, er=0.5, ecr=2)


def test_puzzle_cam_alone_needs_whole_quarters():
    steps = replace(STEPS, tile_px=48, stride=16)
    for name, make in METHODS.items():
        if name != "puzzle-cam":
            parts_of(make()).check(steps)
    with pytest.raises(ConfigError, match=r"multiple of 32 pixels, not 48.*32 or 64"):
        parts_of(PuzzleCam()).check(steps)
    parts_of(PuzzleCam()).check(STEPS)


@pytest.mark.parametrize(
    ("method", "shuffles"),
    [
        (Cam(), False),
        (Seam(), False),
        (PuzzleCam(), False),
        (FixedShuffle(), True),
        (SegMix(), True),
        (SegMixPlus(), True),
        (FixedShuffle(shuffle_weight=0), False),
        (SegMix(shuffle_weight=0), False),
        (SegMixPlus(shuffle_weight=0), False),
    ],
)
def test_methods_without_shuffled_tiles_have_no_curriculum(method, shuffles):
    assert (parts_of(method).make_curriculum(STEPS) is not None) is shuffles


def test_patch_sizes_come_from_settings_or_tile():
    controller = parts_of(SegMix()).make_curriculum(STEPS)
    assert controller.plan.patch_sizes == (32, 16, 8)
    controller = parts_of(SegMix(patch_sizes=(8, 32))).make_curriculum(STEPS)
    assert controller.plan.patch_sizes == (32, 8)
    with pytest.raises(ConfigError, match="do not divide a tile of 64"):
        parts_of(SegMix(patch_sizes=(24,))).make_curriculum(STEPS)


def test_an_odd_tile_is_left_out_of_the_shuffle(folder):
    with folder.store() as store:
        ids = store.tiles().ids[3:]
        store.set_labels(ids, [[-1, -1]] * len(ids))
    changes = {"train.batch_size": 3, "train.min_ratio": 0.5}
    run = folder.run("train", changes=changes)
    events, _ = run.events()
    shown = next(
        load_preview(run.path / event.path)
        for event in events
        if isinstance(event, PreviewWritten) and event.content == "shuffled"
    )
    sources = shown["sources"]
    assert sources.shape[0] == 3
    assert set(sources[:2].flat) == {0, 1}
    alone = [tile for tile in range(3) if (sources[tile] == tile).all()]
    assert alone == [2]


@pytest.mark.parametrize(
    ("method", "changes", "expected"),
    [
        ("cam", {}, False),
        ("puzzle-cam", {}, False),
        ("seam", {}, True),
        ("segmix", {"train.er_weight": 0.0, "train.ecr_weight": 0.0}, True),
        ("segmix-plus", {"train.rounds": 0}, False),
    ],
)
def test_a_network_has_the_pcm_that_was_trained(folder, method, changes, expected):
    run = folder.run("train", changes={"train.method": method, **changes})
    found = load_checkpoint(run.checkpoints_path / "last")
    assert found.arguments["pcm"] is expected
    assert any(name.startswith("pcm.") for name in found.weights) is expected


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        (FixedShuffle(), LabelRule("area")),
        (SegMix(), LabelRule("area")),
        (SegMix(labels="certain"), LabelRule("certain")),
        (SegMixPlus(pooled_share=0.2), LabelRule("present", 0.2)),
        (SegMixPlus(pooled_share=1), LabelRule("certain", 1)),
    ],
)
def test_labels_of_shuffled_tiles(method, expected):
    assert parts_of(method).label_rule == expected


def test_only_segmix_plus_pools_less_than_all():
    parts = {name: parts_of(make()) for name, make in METHODS.items()}
    plus = parts.pop("segmix-plus")
    assert (plus.pooled_share, plus.pooled_mean) == (0.1, 0.5)
    assert {(p.pooled_share, p.pooled_mean) for p in parts.values()} == {(1.0, 0.0)}


@pytest.mark.skipif(
    not has_bf16(torch.device("cpu")), reason="needs a processor with bf16"
)
def test_bf16_learns_nearly_the_same(folder):
    runs = [
        folder.run("train", changes={"train.epochs": 1, "machine.precision": name})
        for name in ("float32", "bf16")
    ]
    exact, rough = (
        load_checkpoint(run.checkpoints_path / "last").weights["head.weight"]
        for run in runs
    )
    assert exact.dtype == rough.dtype == torch.float32
    assert not torch.equal(exact, rough)
    torch.testing.assert_close(exact, rough, atol=0.02, rtol=0)


def test_labels_that_teach_nothing_are_told(folder):
    with folder.store() as store:
        ids = store.tiles().ids
        store.set_labels(ids, np.ones((len(ids), 2), np.int8))
    run = folder.run("train", changes={"train.epochs": 1})
    messages = [e.message for e in run.events()[0] if isinstance(e, Warned)]
    assert any("classes cannot be told apart" in text for text in messages)

from typing import get_args

import numpy as np
import pytest
import torch

from segmix_core.config import RunConfig
from segmix_core.errors import CheckpointError, ConfigError, ProjectError
from segmix_core.events import (
    CheckpointWritten,
    Metrics,
    PreviewWritten,
    StageStarted,
    Warned,
)
from segmix_core.models.checkpoint import load_checkpoint
from segmix_core.models.precision import has_bf16
from segmix_core.pipeline import run_stage
from segmix_core.runs import RunState, follow, launch
from segmix_core.runs.child import run_child
from segmix_core.runs.previews import load_preview
from segmix_core.runs.results import load_tiles
from segmix_core.sections.train import Method, TrainConfig
from segmix_core.stages.methods import METHODS, label_rule, parts_of
from segmix_core.stages.train import check_quarters, make_curriculum


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
        # Labels that are wrong: the more is learnt, the higher the loss on val.
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
    assert broken.state() is RunState.CANCELLED
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
    assert "start a new run" in writer.folder.ended().message


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


def test_every_method_of_the_settings_has_its_parts():
    assert set(METHODS) == set(get_args(Method))


def test_a_method_has_the_weights_of_its_own_terms_only():
    settings = TrainConfig(unshuffle_weight=3, pixel_weight=0.25, puzzle_weight=2)
    faithful = METHODS["segmix"].weights(settings)
    assert (faithful.unshuffle, faithful.pixel, faithful.puzzle) == (0, 0, 0)
    plus = METHODS["segmix-plus"].weights(settings)
    assert (plus.unshuffle, plus.pixel, plus.puzzle) == (3, 0.25, 0)
    assert (plus.shuffle, plus.er, plus.ecr) == (1, 0.2, 1)
    assert METHODS["puzzle-cam"].weights(settings).puzzle == 2


def test_quarters_of_a_tile_are_whole_cells():
    check_quarters(64, 8)
    with pytest.raises(ConfigError, match=r"multiple of 32 pixels, not 48.*32 or 64"):
        check_quarters(48, 16)


@pytest.mark.parametrize("method", ["cam", "seam", "puzzle-cam"])
def test_methods_without_shuffled_tiles_have_no_curriculum(method):
    config = RunConfig().replace({"train.method": method})
    assert make_curriculum(config, 64, 8, 10) is None


def test_patch_sizes_come_from_settings_or_tile():
    config = RunConfig()
    assert make_curriculum(config, 64, 8, 10) is not None
    with pytest.raises(ConfigError, match="do not divide a tile of 64"):
        make_curriculum(config.replace({"curriculum.patch_sizes": [24]}), 64, 8, 10)


def test_an_odd_tile_is_left_out_of_the_shuffle(folder):
    with folder.store() as store:
        ids = store.tiles().ids[3:]
        store.set_labels(ids, [[-1, -1]] * len(ids))
    changes = {"train.batch_size": 3, "curriculum.min_ratio": 0.5}
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
        ("segmix-plus", {"train.rounds": 0, "train.second_view": True}, True),
        ("segmix-plus", {"train.rounds": 0}, False),
        # Masks do not train it.
        ("segmix-plus", {"train.rounds": 1, "train.second_view": True}, False),
    ],
)
def test_a_network_has_the_pcm_that_was_trained(folder, method, changes, expected):
    run = folder.run("train", changes={"train.method": method, **changes})
    found = load_checkpoint(run.checkpoints_path / "last")
    assert found.arguments["pcm"] is expected
    assert any(name.startswith("pcm.") for name in found.weights) is expected


def test_parts_of_segmix_can_be_left_out_of_segmix_plus():
    plus = parts_of(TrainConfig(method="segmix-plus", shuffle_weight=0.0))
    assert (plus.seam, plus.shuffle) == (False, False)
    plus = parts_of(TrainConfig(method="segmix-plus", second_view=True))
    assert (plus.seam, plus.shuffle) == (True, True)
    # Published methods keep their parts.
    assert parts_of(TrainConfig(method="segmix", shuffle_weight=0.0)).shuffle


@pytest.mark.parametrize(
    ("method", "labels", "share", "expected"),
    [
        ("segmix", "auto", 0.2, "area"),
        ("segmix-plus", "auto", 0.2, "present"),
        ("segmix-plus", "auto", 1.0, "certain"),
        ("segmix", "certain", 0.2, "certain"),
        ("segmix", "present", 0.2, "present"),
        ("segmix-plus", "area", 0.2, "area"),
    ],
)
def test_labels_of_shuffled_tiles(method, labels, share, expected):
    changes = {"train.method": method, "curriculum.labels": labels}
    rule = label_rule(RunConfig().replace(changes | {"train.pooled_share": share}))
    assert rule.kind == expected
    if expected == "present":
        assert rule.least_share == share


def test_only_segmix_plus_pools_less_than_all():
    shares = {
        name: parts.pooled_share(TrainConfig(pooled_share=0.3))
        for name, parts in METHODS.items()
    }
    assert shares == dict.fromkeys(METHODS, 1.0) | {"segmix-plus": 0.3}
    means = {n: p.pooled_mean(TrainConfig(pooled_mean=0.7)) for n, p in METHODS.items()}
    assert means == dict.fromkeys(METHODS, 0.0) | {"segmix-plus": 0.7}


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

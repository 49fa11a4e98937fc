"""Every setting changes what a run makes: none is read and then forgotten."""

import functools
import shutil

import numpy as np
import pytest

from segmix_core.geometry import Box
from segmix_core.methods import METHODS
from segmix_core.models.checkpoint import load_checkpoint
from segmix_core.runs.results import load_tiles
from segmix_core.settings import RunSettings

SHORT = {"train.epochs": 4, "train.batch_size": 6, "segmenter.epochs": 1}
"""8 steps of training; the first 2 are warm-up."""

NEVER = {"train.threshold": 1e-6}
FIXED = {"train.method": "fixed-shuffle"}
PLUS = {"train.method": "segmix-plus"}
# Masks of tiles with one label are the same whatever the first network learned.
FIRST = PLUS | {"train.rounds": 0}
PUZZLE = {"train.method": "puzzle-cam"}

TRAINING = {
    "train.method": ({}, "cam"),
    "train.width": ({}, 16),
    "train.epochs": ({}, 3),
    "train.batch_size": ({}, 4),
    "train.learning_rate": ({}, 1e-4),
    "train.weight_decay": ({}, 0.9),
    "train.average": ({"train.epochs": 12}, False),
    "train.shuffle_weight": ({}, 0.1),
    "train.er_weight": ({}, 5.0),
    "train.ecr_weight": ({}, 0.1),
    "train.fusion": (PLUS, False),
    "train.shared_foreground": (PLUS, False),
    "train.pooled_share": (FIRST, 0.5),
    "train.pooled_mean": (FIRST, 0.0),
    "train.rounds": (PLUS, 0),
    "train.puzzle_weight": (PUZZLE, 0.1),
    "train.seed": ({}, 1),
    "train.strategy": ({}, "cellmix"),
    "train.patch_sizes": ({}, [16]),
    "train.patch_size": (FIXED, 32),
    "train.min_ratio": ({}, 0.7),
    "train.max_ratio": (NEVER | {"train.patience": 1, "train.epochs": 12}, 0.2),
    "train.shuffle_ratio": (FIXED, 0.9),
    "train.group_size": ({}, 3),
    "train.in_place": ({}, False),
    "train.exact": (FIXED, False),
    "train.warmup": ({}, 0.0),
    "train.threshold": (NEVER, 100.0),
    "train.patience": (NEVER | {"train.epochs": 12}, 1),
}
SEGMENTER = {
    "segmenter.decoder": "fpn",
    "segmenter.encoder": "tu-mobilenetv3_small_075",
    "segmenter.depth": 4,
    "segmenter.epochs": 2,
    "segmenter.batch_size": 4,
    "segmenter.learning_rate": 1e-4,
    "segmenter.loss": "oeem",
    "segmenter.label_smoothing": 0.3,
    "segmenter.dice_weight": 5.0,
    "segmenter.corrected_weight": 40.0,
    "segmenter.seed": 1,
}
PREDICTION = {
    "predict.window_px": 64,
    "predict.overlap_px": 0,
    "predict.flips": True,
}
ELSEWHERE = {
    "train.keep": "test_train: tiles of val are measured",
    "train.backbone": "test_train_backbones",
    "train.weights": "test_train_backbones",
    "train.freeze": "test_train_backbones",
    "train.stride": "test_train_backbones",
    "train.stain_normalization": "test_stain_normalization",
    "train.labels": "test_mixed_labels, test_train",
    "cams.scales": "test_cams",
    "cams.flips": "test_cams",
    "cams.refine": "test_cams",
    "cams.context_px": "test_cams",
    "cams.batch_size": "test_cams: a stop ends within a step",
    "segmenter.pretrained": "test_segmenter",
    "segmenter.average": "test_train_segmenter",
    "predict.batch_size": "test_slide_prediction",
    "machine.device": "test_training_device",
    "machine.precision": "test_training_device, test_train",
    "machine.threads": "test_training_device",
}


def test_no_setting_is_left_out():
    content = RunSettings().model_dump()
    # Their test compares the whole section with the rules that are followed.
    del content["pseudo_masks"], content["train"]
    names = {f"{section}.{name}" for section in content for name in content[section]}
    names |= {"train.method"}
    names |= {f"train.{name}" for make in METHODS.values() for name in make.fields()}
    assert names == {*TRAINING, *SEGMENTER, *PREDICTION, *ELSEWHERE}


@pytest.fixture(scope="module")
def project(finished_folder, tmp_path_factory):
    """A copy of the finished folder, with a correction."""
    root = tmp_path_factory.mktemp("settings")
    shutil.copytree(finished_folder.project.parent, root, dirs_exist_ok=True)
    workshop = type(finished_folder)(root / finished_folder.project.name)
    with workshop.store() as store:
        store.correct_mask(1, Box(0, 0, 32, 32), np.full((32, 32), 2, np.uint8))
    return workshop


@pytest.fixture(scope="module")
def weights(project):
    """What a stage learns with some settings changed; remembered."""

    @functools.cache
    def learn(stage, changes):
        run = project.run(stage, changes=SHORT | dict(changes))
        return load_checkpoint(run.checkpoints_path / "last").weights

    return lambda stage, changes: learn(stage, tuple(changes.items()))


def are_same(first, second):
    shapes, others = ({n: v.shape for n, v in w.items()} for w in (first, second))
    return shapes == others and all((first[n] == second[n]).all() for n in first)


def test_the_same_settings_learn_the_same(project, weights):
    again = project.run("train", changes=SHORT)
    found = load_checkpoint(again.checkpoints_path / "last").weights
    assert are_same(weights("train", {}), found)


@pytest.mark.parametrize("name", TRAINING)
def test_settings_of_training_change_what_is_learned(name, weights):
    others, value = TRAINING[name]
    assert not are_same(
        weights("train", others), weights("train", others | {name: _hashable(value)})
    )


@pytest.mark.parametrize("name", SEGMENTER)
def test_settings_of_the_segmenter_change_what_is_learned(name, weights):
    changed = weights("train-segmenter", {name: SEGMENTER[name]})
    assert not are_same(weights("train-segmenter", {}), changed)


@pytest.mark.parametrize("name", PREDICTION)
def test_settings_of_prediction_change_what_is_predicted(name, slide):
    usual = load_tiles(slide.run("predict").path)["doubt"]
    run = slide.run("predict", changes={name: PREDICTION[name]})
    assert (load_tiles(run.path)["doubt"] != usual).any()


def _hashable(value):
    return tuple(value) if isinstance(value, list) else value

"""Settings that are more than a type and a range."""

from pathlib import Path

import pytest

from segmix_core.config import RunConfig
from segmix_core.errors import ConfigError
from segmix_core.sections.train import TrainConfig


@pytest.mark.parametrize(
    ("pretrained", "weights"), [(False, "scratch"), (True, "download")]
)
def test_settings_of_older_runs_are_read(pretrained, weights):
    config = RunConfig.parse({"train": {"pretrained": pretrained, "epochs": 3}})
    assert (config.train.weights, config.train.epochs) == (weights, 3)
    assert RunConfig.parse(config.model_dump()) == config


def test_segmix_plus_of_older_runs_goes_on_as_it_began():
    older = {"method": "segmix-plus", "pretrained": False, "epochs": 1}
    config = RunConfig.parse({"train": older})
    train = config.train
    assert (train.fusion, train.rounds, train.second_view) == (False, 0, True)
    assert (train.pooled_share, train.stain_normalisation) == (1, False)
    assert config.curriculum.labels == "area"
    newer = RunConfig.parse({"train": {"method": "segmix-plus"}})
    assert newer == RunConfig()
    assert (newer.train.fusion, newer.train.rounds) == (True, 1)


@pytest.mark.parametrize(
    "name", ["stain_normalisation", "shared_foreground", "pooled_mean"]
)
def test_runs_of_before_a_switch_go_on_as_they_began(name):
    stored = RunConfig().model_dump(mode="json")
    del stored["train"][name]
    assert not getattr(RunConfig.parse(stored).train, name)
    few = {"train": {"method": "segmix-plus", "seed": 1}}
    assert getattr(RunConfig.parse(few).train, name)


@pytest.mark.parametrize(("decoder", "depth"), [("unet", 4), ("fpn", 5)])
def test_segmenters_of_older_runs_keep_their_depth(decoder, depth):
    stored = RunConfig().model_dump(mode="json")
    stored["segmenter"]["decoder"] = decoder
    del stored["segmenter"]["depth"]
    assert RunConfig.parse(stored).segmenter.depth == depth
    # Files of a user say what they change.
    few = {"segmenter": {"decoder": decoder, "seed": 1}}
    assert RunConfig.parse(few).segmenter.depth == 3


OLD_TRAIN = {
    "method": "segmix-plus",
    "backbone": "small",
    "weights": "scratch",
    "freeze": False,
    "stride": None,
    "width": 32,
    "epochs": 8,
    "batch_size": 16,
    "learning_rate": 2e-3,
    "weight_decay": 1e-2,
    "average": True,
    "keep": "last",
    "shuffle_weight": 1.0,
    "er_weight": 0.2,
    "ecr_weight": 1.0,
    "unshuffle_weight": 0.0,
    "pixel_weight": 0.0,
    "fusion": True,
    "rounds": 1,
    "puzzle_weight": 4.0,
    "seed": 3,
}
"""What the first runs with rounds have of their training."""

OLD_SEGMENTER = {
    "decoder": "unet",
    "encoder": "tu-mobilenetv3_small_050",
    "pretrained": False,
    "epochs": 8,
    "batch_size": 16,
    "learning_rate": 1e-3,
    "dice_weight": 0.5,
    "corrected_weight": 4.0,
    "seed": 3,
}
"""What the first runs have of their segmenter."""


def test_settings_of_the_oldest_runs_are_known_as_such():
    # A setting that is added would hide them: it belongs to the newer ones.
    config = RunConfig.parse({"train": OLD_TRAIN, "segmenter": OLD_SEGMENTER})
    train = config.train
    assert (train.stain_normalisation, train.shared_foreground) == (False, False)
    assert config.segmenter.depth == 4


@pytest.mark.parametrize("names", [("fusion", "rounds", "seed"), [*OLD_TRAIN][1:]])
def test_a_file_of_some_settings_switches_nothing_off(names):
    few = {name: OLD_TRAIN[name] for name in names}
    train = RunConfig.parse({"train": few}).train
    assert (train.stain_normalisation, train.shared_foreground) == (True, True)


def test_a_file_of_some_settings_keeps_the_depth():
    names = ("decoder", "encoder", "epochs", "corrected_weight", "seed")
    few = {name: OLD_SEGMENTER[name] for name in names}
    assert RunConfig.parse({"segmenter": few}).segmenter.depth == 3


def test_a_file_of_weights_is_found_from_everywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = TrainConfig(weights="uni.safetensors")
    assert Path(config.weights) == tmp_path / "uni.safetensors"
    assert TrainConfig(weights=config.weights) == config
    home = TrainConfig(weights="~/uni.safetensors").weights
    assert Path(home) == Path.home() / "uni.safetensors"


@pytest.mark.parametrize("weights", ["downlod", "uni.pth", "", None])
def test_weights_that_are_neither_word_nor_file(weights):
    with pytest.raises(ConfigError) as caught:
        RunConfig.parse({"train": {"weights": weights}})
    assert "train.weights has the invalid value" in caught.value.problem
    assert f"{weights!r} (Input should be " in caught.value.reason


def test_only_what_was_loaded_can_be_frozen():
    with pytest.raises(ConfigError, match="other than 'scratch'"):
        RunConfig.parse({"train": {"freeze": True}})
    assert TrainConfig(freeze=True, weights="download").freeze


@pytest.mark.parametrize("stride", [4, 32, "8 or 16"])
def test_strides_that_there_are_not(stride):
    with pytest.raises(ConfigError, match=r"train\.stride"):
        RunConfig.parse({"train": {"stride": stride}})


@pytest.mark.parametrize("value", [float("inf"), float("nan"), "1e999"])
def test_no_setting_is_infinite(value):
    with pytest.raises(ConfigError, match=r"curriculum\.threshold"):
        RunConfig.parse({"curriculum": {"threshold": value}})

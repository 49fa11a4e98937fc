"""The methods as settings."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from segmix_core.errors import ConfigError
from segmix_core.methods import (
    METHODS,
    Cam,
    FixedShuffle,
    MethodSettings,
    PuzzleCam,
    Seam,
    SegMix,
    SegMixPlus,
)

CURRICULUM = {
    *("strategy", "patch_sizes", "min_ratio", "max_ratio"),
    *("warmup", "threshold", "patience"),
}
SHUFFLE = {"shuffle_weight", "group_size", "in_place", "exact"}
TWO_VIEWS = {"er_weight", "ecr_weight"}
OWN = {
    Cam: set(),
    Seam: TWO_VIEWS,
    PuzzleCam: {"puzzle_weight"},
    FixedShuffle: TWO_VIEWS | SHUFFLE | {"labels", "patch_size", "shuffle_ratio"},
    SegMix: TWO_VIEWS | SHUFFLE | CURRICULUM | {"labels"},
    SegMixPlus: SHUFFLE
    | CURRICULUM
    | {
        *("rounds", "fusion", "stain_normalization", "shared_foreground"),
        *("pooled_share", "pooled_mean"),
    },
}


def test_a_method_has_its_own_fields_and_no_others():
    assert set(METHODS.values()) == set(OWN)
    for method, own in OWN.items():
        assert set(method.fields()) == own | set(MethodSettings.fields())


def test_methods_are_told_apart_by_their_names():
    assert [*METHODS] == [make().method for make in METHODS.values()]
    assert Cam() != Seam()


def test_everyday_fields_are_fields():
    for method in METHODS.values():
        assert set(method.everyday) <= set(method.fields())


@pytest.mark.parametrize("method", METHODS)
def test_an_unknown_field_is_an_error_that_names_the_known_ones(method):
    with pytest.raises(ConfigError) as caught:
        METHODS[method](speed=3)
    fields = ", ".join(METHODS[method].fields())
    wanted = f"{method} has no setting 'speed'. Its settings are {fields}."
    assert wanted in str(caught.value)


def test_settings_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        Cam().epochs = 3


def test_epochs_are_those_that_the_method_needs():
    epochs = {name: make().epochs for name, make in METHODS.items()}
    assert epochs == dict.fromkeys(METHODS, 8) | {"segmix-plus": 24}


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        (SegMixPlus(), True),
        (SegMixPlus(rounds=0), False),
        (SegMixPlus(epochs=1), False),
        (SegMix(), False),
        (Cam(), False),
    ],
)
def test_who_learns_from_masks(method, expected):
    assert method.learns_from_masks is expected


def test_a_file_of_weights_is_found_from_everywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    method = Cam(weights="uni.safetensors")
    assert Path(method.weights) == tmp_path / "uni.safetensors"
    assert Cam(weights=method.weights) == method
    home = Cam(weights="~/uni.safetensors").weights
    assert Path(home) == Path.home() / "uni.safetensors"


@pytest.mark.parametrize("weights", ["downlod", "uni.pth", ""])
def test_weights_that_are_neither_word_nor_file(weights):
    with pytest.raises(ConfigError, match="Input should be 'scratch'"):
        Cam(weights=weights)


def test_only_what_was_loaded_can_be_frozen():
    with pytest.raises(ConfigError, match="other than 'scratch'"):
        Cam(freeze=True)
    assert Cam(freeze=True, weights="download").freeze


@pytest.mark.parametrize("method", [SegMix, SegMixPlus])
def test_settings_of_the_shuffle_agree(method):
    with pytest.raises(ConfigError, match="min_ratio must not be larger"):
        method(min_ratio=0.8, max_ratio=0.5)
    with pytest.raises(ConfigError, match="in_place must be off"):
        method(group_size=1)
    assert method(group_size=1, in_place=False).group_size == 1


def test_methods_load_no_torch():
    code = "import sys, segmix_core.methods; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)

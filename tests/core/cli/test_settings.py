import json

import pytest

from segmix_core.cli.settings import build_config, settings_help
from segmix_core.errors import ConfigError
from segmix_core.methods import METHODS


def test_later_words_win(tmp_path):
    file = tmp_path / "settings.json"
    file.write_text(json.dumps({"train": {"epochs": 2, "seed": 2, "width": 16}}))
    flags = {"train.epochs": 3, "train.seed": 3, "train.method": None}
    config = build_config(flags, ["train.seed=4"], file)
    found = (config.train.width, config.train.epochs, config.train.seed)
    assert found == (16, 3, 4)
    assert config.train.method == "segmix-plus"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("train.patch_sizes=[64, 32]", (64, 32)),
        ("train.patch_sizes=null", None),
        ("train.strategy=cellmix", "cellmix"),
        ('train.strategy="cellmix"', "cellmix"),
        ("train.min_ratio=0.2", 0.2),
    ],
)
def test_values_are_json_or_else_text(text, value):
    config = build_config({}, [text], None)
    assert getattr(config.train, text.split("=")[0].split(".")[1]) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train.epochs", "section.field=value"),
        ("train.epoch=3", "segmix-plus has no setting 'epoch'. Its settings are"),
        ("trane.epochs=3", "not a setting.*the sections are train, cams"),
        ("train.epochs=0", "train.epochs"),
        ("train.strategy=wild", "train.strategy"),
    ],
)
def test_a_wrong_setting_is_named(text, message):
    with pytest.raises(ConfigError, match=message):
        build_config({}, [text], None)


@pytest.mark.parametrize(
    ("settings", "section", "contradiction"),
    [
        (
            ["predict.overlap_px=400"],
            *("predict", "overlap_px must be less than half of window_px"),
        ),
        (
            ["segmenter.label_smoothing=0.1", "segmenter.loss=gce"],
            "segmenter",
            "label_smoothing must be 0 with the loss gce; only ce and oeem use it",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_one_sentence(
    settings, section, contradiction
):
    with pytest.raises(ConfigError) as caught:
        build_config({}, settings, None)
    assert str(caught.value) == (
        f"Settings of {section} conflict: {contradiction}. Change one of them."
    )


@pytest.mark.parametrize("content", ["{", "[1]", '{"train": {"epoch": 1}}'])
def test_a_wrong_file_is_an_error(tmp_path, content):
    file = tmp_path / "settings.json"
    file.write_text(content)
    with pytest.raises(ConfigError):
        build_config({}, [], file)
    with pytest.raises(ConfigError, match=r"cannot be read"):
        build_config({}, [], tmp_path / "none.json")


def test_help_tells_every_setting_with_range_and_description(segmix):
    shown = " ".join(segmix("train", "--help").stdout.split())
    for method in METHODS.values():
        for name in method.fields():
            description = method.model_fields[name].description
            assert shown.count(f"train.{name} {description}") == 1
    assert "(1..1000; default 8, 24 in segmix-plus)" in shown
    assert "(> 0 and <= 1; default 0.002)" in shown
    assert "(hold | cellmix; default hold)" in shown
    assert "(8 | 16; default empty)" in shown
    assert "cam | seam | puzzle-cam | fixed-shuffle | segmix | segmix-plus" in shown


def test_help_says_which_method_has_which_setting(segmix):
    shown = " ".join(segmix("train", "--help").stdout.split())
    places = [
        shown.index(text)
        for text in (
            *("common ones first", "train.epochs", "train.weights Initial"),
            *("of all methods", "train.width", "Only in seam, fixed-shuffle, segmix:"),
            *("train.er_weight", "Only in puzzle-cam:", "train.puzzle_weight"),
            *("Only in segmix-plus:", "train.rounds", "The machine:"),
        )
    ]
    assert places == sorted(places)


def test_square_brackets_are_no_markup():
    assert r"(default \[" in settings_help("cams")

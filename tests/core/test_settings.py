"""Settings of a run: what is read, changed and refused."""

import pytest

from segmix_core.errors import ConfigError
from segmix_core.methods import METHODS, Cam, SegMixPlus
from segmix_core.settings import RunSettings


def test_the_default_is_segmix_plus():
    assert RunSettings().train == SegMixPlus()
    assert RunSettings.parse({}) == RunSettings()
    assert RunSettings.parse({"train": {"rounds": 2}}).train == SegMixPlus(rounds=2)


@pytest.mark.parametrize("method", METHODS)
def test_what_is_written_is_read_again(method):
    settings = RunSettings(train=METHODS[method](epochs=3, seed=7))
    assert RunSettings.parse(settings.model_dump(mode="json")) == settings
    assert RunSettings.parse({"train": {"method": method}}).train == METHODS[method]()


def test_a_setting_of_another_method_is_named_with_those_there_are():
    wanted = (
        "cam has no setting 'rounds'. Its settings are epochs, batch_size, backbone, "
        "weights, freeze, stride, width, learning_rate, weight_decay, average, keep, "
        "seed."
    )
    for fail in (
        lambda: RunSettings.parse({"train": {"method": "cam", "rounds": 5}}),
        lambda: RunSettings(train=Cam()).replace({"train.rounds": 5}),
        lambda: RunSettings().replace({"train.method": "cam", "train.rounds": 5}),
    ):
        with pytest.raises(ConfigError) as caught:
            fail()
        assert str(caught.value) == wanted


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"trane": {}}, "A run has no setting 'trane'."),
        ({"cams": {"scale": 1}}, "cams has no setting 'scale'."),
        ({"train": {"method": "magic"}}, "'magic' is not a valid method."),
        ({"train": {"method": 3}}, "'3' is not a valid method."),
        ({"train": 3}, "train has the invalid value 3 "),
        ({"train": {"epochs": 0}}, "train.epochs has the invalid value 0 "),
        ({"train": {"patch_sizes": ["a"]}}, "train.patch_sizes.0 has the invalid"),
        ({"train": {"stride": 4}}, "train.stride has the invalid value 4 "),
        ({"train": {"weights": "uni.pth"}}, "train.weights has the invalid value 'uni"),
        ({"train": {"weights": None}}, "train.weights has the invalid value None "),
        ({"train": {"freeze": True}}, "Settings of train conflict: freeze needs"),
        ({"train": {"min_ratio": 0.9}}, "Settings of train conflict: min_ratio"),
        ({"train": {"group_size": 1}}, "Settings of train conflict: in_place must"),
        ({"predict": {"overlap_px": 400}}, "Settings of predict conflict: overlap_px"),
        ({"cams": {"scales": []}}, "Settings of cams conflict: scales must be one"),
    ],
)
def test_what_is_wrong_is_named(content, problem):
    with pytest.raises(ConfigError) as caught:
        RunSettings.parse(content)
    assert caught.value.message.startswith(problem)
    assert caught.value.hint.endswith(".")


@pytest.mark.parametrize("value", [float("inf"), float("nan"), "1e999"])
def test_no_setting_is_infinite(value):
    with pytest.raises(ConfigError, match=r"train\.threshold"):
        RunSettings.parse({"train": {"threshold": value}})


def test_another_method_keeps_what_was_chosen_and_has_its_own_defaults():
    former = RunSettings().replace({"train.seed": 3, "cams.flips": False})
    found = former.replace({"train.method": "cam"})
    assert found.train == Cam(seed=3)
    assert found.cams == former.cams
    assert found.replace({"train.method": "segmix-plus"}).train == SegMixPlus(seed=3)


def test_the_settings_of_a_run_that_is_done_can_get_another_method():
    # They name all fields, and say how long the run was.
    done = RunSettings.parse(RunSettings().model_dump(mode="json"))
    assert done.replace({"train.method": "cam"}).train == Cam(epochs=24)
    chosen = done.replace({"train.rounds": 2})
    with pytest.raises(ConfigError, match="cam has no setting 'rounds'"):
        chosen.replace({"train.method": "cam"})


@pytest.mark.parametrize("method", ["magic", 3, None, ["cam"], {}])
def test_methods_that_there_are_not(method):
    with pytest.raises(ConfigError) as caught:
        RunSettings().replace({"train.method": method})
    assert str(caught.value) == (
        f"'{method}' is not a valid method. Choose one of {', '.join(METHODS)}."
    )


@pytest.mark.parametrize("name", ["trane.epochs", "train", "epochs", "train."])
def test_names_that_are_no_settings(name):
    with pytest.raises(ConfigError) as caught:
        RunSettings().replace({name: 1})
    assert caught.value.message == f"'{name}' is not a setting."
    assert caught.value.hint.startswith("Write it as section.field; ")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "glass"),
        ({"pseudo_masks.background": "score"}, "score"),
        ({"train.rounds": 0}, None),
        ({"train.epochs": 1}, None),
        ({"train.method": "segmix"}, None),
    ],
)
def test_only_a_network_that_learns_from_masks_has_a_background(changes, expected):
    assert RunSettings().replace(changes).trained_background == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"train": {"rou\ud800nds": 1}}, r"segmix-plus has no setting 'rou\\ud800nds'"),
        ({"\ud800": {}}, r"has no setting '\\ud800'"),
        ({"train": {"method": "ca\ud800m"}}, "is not a valid method"),
    ],
)
def test_names_that_are_not_unicode(content, message):
    """As JSON files can have them."""
    with pytest.raises(ConfigError, match=message) as caught:
        RunSettings.parse(content)
    assert str(caught.value).isprintable()

import pytest

from napari_segmix.widgets.config_form import ConfigForm
from napari_segmix.widgets.form_fields import field_label
from segmix_core.errors import ConfigError
from segmix_core.methods import METHODS, Cam, FixedShuffle, SegMixPlus
from segmix_core.settings import RunSettings

TRAINING = ("train", "cams", "machine")


@pytest.fixture
def form(qtbot):
    widget = ConfigForm(TRAINING, everyday=("train.epochs", "train.batch_size"))
    qtbot.addWidget(widget)
    return widget


def test_untouched_form_is_the_default_config(form):
    assert form.config() == RunSettings()
    assert form.error == ""


@pytest.mark.parametrize("section", list(RunSettings.model_fields))
def test_every_section_has_a_form_that_keeps_its_defaults(qtbot, section):
    widget = ConfigForm((section,))
    qtbot.addWidget(widget)
    assert widget.config() == RunSettings()


def test_values_come_back_typed(form):
    changes = {
        "train.epochs": 3,
        "train.learning_rate": 1e-5,
        "train.weights": "download",
        "train.freeze": True,
        "train.stride": 16,
        "train.patch_sizes": (64, 32),
        "train.threshold": 0.25,
        "train.min_ratio": 0.2,
        "machine.device": "cuda:1",
    }
    form.set_values(changes | {"predict.window_px": 64})
    assert form.config() == RunSettings().replace(changes)


def test_settings_of_an_earlier_run_are_shown(form):
    earlier = RunSettings(train=FixedShuffle(patch_size=16, seed=7))
    form.set_config(earlier)
    assert form.method == "fixed-shuffle"
    assert form.config() == earlier


@pytest.mark.parametrize("method", METHODS)
def test_a_method_shows_its_own_fields_with_its_defaults(form, method):
    form.method = method
    assert form.config().train == METHODS[method]()
    shown = {name for name in form.shown_fields() if name.startswith("train.")}
    assert shown == {f"train.{name}" for name in METHODS[method].fields()}
    for name in METHODS["segmix-plus"].fields():
        is_hidden = form.widget(f"train.{name}").native.isHidden()
        assert is_hidden is (f"train.{name}" not in shown), name


def test_what_was_typed_stays_with_another_method(form):
    form.set_values({"train.batch_size": 4, "train.rounds": 3})
    form.method = "cam"
    assert form.config().train == Cam(batch_size=4)
    form.set_values({"train.epochs": 30})
    form.method = "segmix-plus"
    assert form.config().train == SegMixPlus(batch_size=4, epochs=30, rounds=3)


def test_sections_about_masks_are_shown_where_they_count(qtbot):
    form = ConfigForm(("train", "cams"), ("cams.refine",), of_masks=("cams",))
    qtbot.addWidget(form)
    assert not form.widget("cams.refine").native.isHidden()
    form.set_values({"cams.scales": "none"})
    assert form.error
    form.method = "seam"
    assert form.error == ""
    assert form.widget("cams.refine").native.isHidden()
    assert not {name for name in form.shown_fields() if name.startswith("cams.")}


def test_tuple_of_fractions(qtbot):
    widget = ConfigForm(("cams",))
    qtbot.addWidget(widget)
    widget.set_values({"cams.scales": "0.5 1, 1.5"})
    assert widget.config().cams.scales == (0.5, 1.0, 1.5)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("train.learning_rate", "0", "'Learning rate' is .* must be greater than 0"),
        ("train.learning_rate", "fast", "'Learning rate' is 'fast'"),
        ("train.learning_rate", "", "'Learning rate' is nothing"),
        ("train.learning_rate", "inf", "'Learning rate' is 'inf'"),
        ("train.threshold", "0", "'Threshold' is .* must be greater than 0"),
        ("train.group_size", 1, "'In place' must be off if 'Group size' is 1"),
        ("train.min_ratio", 0.9, "'Min ratio' must not be larger than 'Max"),
    ],
)
def test_a_wrong_value_is_named_beside_the_form(form, qtbot, name, text, message):
    with qtbot.waitSignal(form.changed):
        form.set_values({name: text})
    with pytest.raises(ConfigError, match=message):
        form.config()
    assert form.error.endswith(".")
    form.set_config(RunSettings())
    assert form.error == ""


def test_ranges_and_help_come_from_the_fields(form):
    epochs = form.widget("train.epochs")
    assert (epochs.min, epochs.max) == (1, 1000)
    assert epochs.tooltip.startswith("Passes over the tiles; ")
    assert epochs.tooltip.endswith(" (at least 1, at most 1000)")
    assert form.widget("train.strategy").choices == ("hold", "cellmix")


def test_the_segmenter_s_losses_and_weights_are_chosen_in_the_form(qtbot):
    form = ConfigForm(("segmenter",), ("segmenter.epochs",))
    qtbot.addWidget(form)
    loss, smoothing, weight = (
        form.widget(f"segmenter.{name}")
        for name in ("loss", "label_smoothing", "corrected_weight")
    )
    assert loss.choices == ("ce", "oeem", "gce", "sce", "bootstrapped")
    assert (smoothing.min, smoothing.max, smoothing.value) == (0, 0.5, 0)
    assert (weight.min, weight.value) == (1, 4)
    loss.value, smoothing.value, weight.value = "oeem", 0.1, 6.5
    form.widget("segmenter.average").value = False
    found = form.config().segmenter
    assert (found.loss, found.label_smoothing) == ("oeem", 0.1)
    assert (found.corrected_weight, found.average) == (6.5, False)
    loss.value = "gce"
    assert "'Label smoothing' must be 0 with the 'Loss' gce" in form.error


def test_names_that_do_not_exist(qtbot):
    with pytest.raises(ValueError, match="Expected fields"):
        ConfigForm(("train",), everyday=("train.speed",))
    with pytest.raises(KeyError):
        ConfigForm(("trian",))


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("window_px", "Window (px)"),
        ("min_hole_um2", "Min hole (µm²)"),
        ("er_weight", "ER weight"),
        ("learning_rate", "Learning rate"),
    ],
)
def test_field_label(name, label):
    assert field_label(name) == label

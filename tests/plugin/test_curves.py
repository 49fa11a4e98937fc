import numpy as np
import pytest

from napari_segmix.widgets.curves import MAX_POINTS, Curves, Series, panel_of
from segmix_core.events import CurriculumDecided, Metrics, Progress


@pytest.fixture
def curves(qtbot):
    widget = Curves()
    qtbot.addWidget(widget)
    widget.resize(380, 500)
    widget.show()
    return widget


def metrics(step, **values):
    return Metrics(step=step, epoch=0, values=values)


def test_short_series_is_kept_as_it_is():
    series = Series()
    for step in range(10):
        series.add(step, step**2)
    x, y = series.points()
    assert x.tolist() == list(range(10))
    assert y.tolist() == [step**2 for step in range(10)]


def test_long_series_is_thinned_to_means():
    series = Series()
    count = MAX_POINTS * 5
    for step in range(count):
        series.add(step, float(step % 2))
    x, y = series.points()
    assert len(x) < MAX_POINTS
    assert np.all(np.diff(x) > 0)
    assert np.allclose(y, 0.5)


def test_thinned_levels_stay_levels():
    series = Series(is_level=True)
    for step in range(MAX_POINTS * 3 + 1):
        series.add(step, 64.0 if step < MAX_POINTS else 32.0)
    x, y = series.points()
    assert set(y) == {64.0, 32.0}
    assert x[-1] == MAX_POINTS * 3


def test_cut_drops_what_comes_again():
    series = Series()
    for step in range(10):
        series.add(step, 1.0)
    series.cut(4)
    assert series.points()[0].tolist() == [0, 1, 2, 3]


def test_no_two_losses_look_alike(curves):
    names = "loss classification classification_2 er ecr shuffled unshuffled pixel"
    values = dict.fromkeys([*names.split(), "puzzle", "epoch_loss", "val_loss"], 1.0)
    curves.add_events([metrics(1, **values)])
    colors = {curves._color(name) for name in values}
    assert len(colors) == len(values)


@pytest.mark.parametrize(
    ("name", "panel"),
    [
        ("loss", "loss"),
        ("shuffled", "loss"),
        ("threshold", "loss"),
        ("val_f1", "score"),
        ("val_loss", "loss"),
        ("mean_iou", "score"),
        ("patch_size", "patch_size"),
        ("shuffle_ratio", "shuffle_ratio"),
    ],
)
def test_panel_of(name, panel):
    assert panel_of(name) == panel


def test_events_become_curves_and_titles(curves, qtbot):
    curves.add_events(
        [
            metrics(0, loss=2.0, plain=1.5, shuffle_ratio=0.1),
            Progress(step=1, total=2),
            metrics(1, loss=1.0, plain=0.5, shuffle_ratio=0.2),
            CurriculumDecided(
                step=1,
                patch_size=32,
                shuffle_ratio=0.3,
                feedback=1.0,
                threshold=1.2,
                reason="hold",
            ),
        ]
    )
    assert curves.series("loss").points()[1].tolist() == [2.0, 1.0]
    assert curves.series("patch_size").points()[1].tolist() == [32.0]
    assert curves.series("threshold").points()[1].tolist() == [1.2]
    qtbot.waitUntil(lambda: curves.is_panel_visible("patch_size"), timeout=1000)
    assert "threshold&nbsp;1.2" in curves.title("loss")
    assert "plain&nbsp;0.5" in curves.title("loss")
    assert not curves.is_panel_visible("score")


def test_metrics_of_another_scale_are_left_out(curves):
    curves.add_events([metrics(0, loss=1.0, learning_rate=1e-3, grad_norm=40.0)])
    assert curves.series("loss") is not None
    assert curves.series("learning_rate") is None
    assert curves.series("grad_norm") is None


def test_not_finite_values_are_left_out(curves):
    curves.add_events([metrics(0, loss=float("nan"))])
    assert curves.series("loss") is None


def test_resumed_run_draws_its_steps_once(curves):
    curves.add_events([metrics(s, loss=1.0) for s in range(6)])
    curves.add_events([metrics(s, loss=2.0) for s in range(3, 8)])
    x, y = curves.series("loss").points()
    assert x.tolist() == list(range(8))
    assert y.tolist() == [1.0] * 3 + [2.0] * 5


def test_clear_forgets_the_run(curves, qtbot):
    curves.add_events([metrics(0, loss=1.0)])
    qtbot.waitUntil(lambda: curves.is_panel_visible("loss"), timeout=1000)
    curves.clear()
    assert curves.series("loss") is None
    assert not curves.is_panel_visible("loss")


def test_follows_the_theme(curves, qtbot):
    curves.setStyleSheet("QWidget { color: #ff0000; }")
    axis = curves.panel("loss").getAxis("left")
    qtbot.waitUntil(lambda: axis.textPen().color().name() == "#ff0000", timeout=1000)


def test_rests_while_hidden(curves, qtbot):
    curves.hide()
    curves.add_events([metrics(0, loss=1.0)])
    qtbot.wait(300)
    assert not curves.is_panel_visible("loss")
    curves.show()
    qtbot.waitUntil(lambda: curves.is_panel_visible("loss"), timeout=1000)

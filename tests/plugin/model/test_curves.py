import numpy as np
import pytest

from napari_segmix.model.curves import MAX_POINTS, RunCurves, Series, panel_of
from segmix_core.events import Metrics


@pytest.fixture
def run():
    return RunCurves()


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


def test_metrics_of_another_scale_are_left_out(run):
    run.add_events([metrics(0, loss=1.0, learning_rate=1e-3, grad_norm=40.0)])
    assert run.series.get("loss") is not None
    assert run.series.get("learning_rate") is None
    assert run.series.get("grad_norm") is None


def test_not_finite_values_are_left_out(run):
    run.add_events([metrics(0, loss=float("nan"))])
    assert run.series.get("loss") is None


def test_resumed_run_draws_its_steps_once(run):
    run.add_events([metrics(s, loss=1.0) for s in range(6)])
    run.add_events([metrics(s, loss=2.0) for s in range(3, 8)])
    x, y = run.series.get("loss").points()
    assert x.tolist() == list(range(8))
    assert y.tolist() == [1.0] * 3 + [2.0] * 5

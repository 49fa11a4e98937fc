import pytest

from napari_segmix.model.curves import RunCurves
from napari_segmix.widgets.curves import Curves
from segmix_core.events import CurriculumDecided, Metrics, Progress


@pytest.fixture
def run():
    return RunCurves()


@pytest.fixture
def curves(qtbot, run):
    widget = Curves(run)
    qtbot.addWidget(widget)
    widget.resize(380, 500)
    widget.show()
    return widget


def metrics(step, **values):
    return Metrics(step=step, epoch=0, values=values)


def test_no_two_losses_look_alike(curves, run):
    names = "loss classification classification_2 er ecr shuffled unshuffled pixel"
    values = dict.fromkeys([*names.split(), "puzzle", "epoch_loss", "val_loss"], 1.0)
    run.add_events([metrics(1, **values)])
    curves.refresh()
    colors = {curves._color(name) for name in values}
    assert len(colors) == len(values)


def test_events_become_curves_and_titles(curves, run, qtbot):
    run.add_events(
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
    assert run.series.get("loss").points()[1].tolist() == [2.0, 1.0]
    assert run.series.get("patch_size").points()[1].tolist() == [32.0]
    assert run.series.get("threshold").points()[1].tolist() == [1.2]
    qtbot.waitUntil(lambda: curves.is_panel_visible("patch_size"), timeout=1000)
    assert "threshold&nbsp;1.2" in curves.title("loss")
    assert "plain&nbsp;0.5" in curves.title("loss")
    assert not curves.is_panel_visible("score")


def test_clear_forgets_the_run(curves, run, qtbot):
    run.add_events([metrics(0, loss=1.0)])
    qtbot.waitUntil(lambda: curves.is_panel_visible("loss"), timeout=1000)
    run.clear()
    curves.refresh()
    assert run.series.get("loss") is None
    assert not curves.is_panel_visible("loss")


def test_follows_the_theme(curves, qtbot):
    curves.setStyleSheet("QWidget { color: #ff0000; }")
    axis = curves.panel("loss").getAxis("left")
    qtbot.waitUntil(lambda: axis.textPen().color().name() == "#ff0000", timeout=1000)


def test_rests_while_hidden(curves, run, qtbot):
    curves.hide()
    run.add_events([metrics(0, loss=1.0)])
    qtbot.wait(300)
    assert not curves.is_panel_visible("loss")
    curves.show()
    qtbot.waitUntil(lambda: curves.is_panel_visible("loss"), timeout=1000)

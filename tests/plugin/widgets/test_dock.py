from typing import Any

import pytest

from napari_segmix import session as session_module
from napari_segmix.session import session_for
from napari_segmix.widgets.dock import PAGES, SegMixDock
from napari_segmix.widgets.status_line import StatusLine


def test_the_dock_is_found_again_after_closing(
    make_napari_viewer_proxy: Any, qtbot: Any, tmp_path: Any
) -> None:
    viewer = make_napari_viewer_proxy()
    dock = SegMixDock(viewer)
    holder = viewer.window.add_dock_widget(dock, name="SegMix")
    session = dock.session
    session.actions.projects.create(tmp_path / "p.segmix", ["gland"])
    viewer.window.remove_dock_widget(holder)
    dock.deleteLater()
    qtbot.wait(50)
    # Nobody listens to the session but the new dock.
    session.model.notices.say("still here")
    again = SegMixDock(viewer)
    qtbot.addWidget(again)
    assert again.session is session
    assert again.pages["Data"].classes.table.rowCount() == 1
    session.close()


def test_pages_in_the_order_of_the_work(
    make_napari_viewer_proxy: Any, qtbot: Any
) -> None:
    viewer = make_napari_viewer_proxy()
    dock = SegMixDock(viewer)
    qtbot.addWidget(dock)
    assert list(PAGES) == ["Data", "Label", "Train", "Masks", "Export"]
    assert dock.page_shown == "Data"
    dock._steps.button(2).click()
    assert dock.page_shown == "Train"
    session_for(viewer).page_requested.emit("Label")
    assert dock.page_shown == "Label"
    # Every page fits into a narrow dock; what is higher scrolls.
    widths = {
        title: page.minimumSizeHint().width() for title, page in dock.pages.items()
    }
    assert max(widths.values()) <= 400, widths
    session_for(viewer).close()


def test_the_session_ends_with_the_window(
    make_napari_viewer_proxy: Any, qtbot: Any
) -> None:
    viewer = make_napari_viewer_proxy(show=True)
    dock = SegMixDock(viewer)
    viewer.window.add_dock_widget(dock)
    qtbot.waitUntil(lambda: dock._guarded is not None)
    assert dock.session in session_module._SESSIONS
    dock._guarded.destroyed.emit()
    assert dock.session not in session_module._SESSIONS


@pytest.fixture
def line(session: Any, qtbot: Any) -> StatusLine:
    line = StatusLine(session.model, session.actions)
    qtbot.addWidget(line)
    return line


def test_the_status_line_shows_messages(line: StatusLine) -> None:
    line.model.notices.say("Hello.", "warning")
    assert line.text == "Hello."
    assert not line._close.isHidden()
    line._close.click()
    assert line.text == ""
    assert line._mark.isHidden()


def test_the_status_line_shows_work(line: StatusLine) -> None:
    line.model.notices.show_busy("Reading the images…")
    assert not line._bar.isHidden()
    assert line.text == "Reading the images…"
    line.model.notices.set_idle()
    assert line._bar.isHidden()

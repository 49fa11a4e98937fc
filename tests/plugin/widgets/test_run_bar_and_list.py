"""The run bar and the list of runs."""

from qtpy.QtGui import QGuiApplication

from napari_segmix.model.changes import Topic
from napari_segmix.model.run_info import Job
from napari_segmix.widgets.run_bar import RunBar
from napari_segmix.widgets.run_list import RunList
from segmix_core.settings import RunSettings
from tests.plugin.runs_of_pages import LEFT, finished, label_all, wait


def test_bar_shows_progress_and_stops(jobs, qtbot, messages):
    bar = RunBar(jobs.model, jobs.actions)
    qtbot.addWidget(bar)
    assert bar.isHidden()
    jobs.actions.runs.start(Job("train", RunSettings(), {}, {"behavior": "wait"}))
    wait(qtbot, lambda: bar.bar.value() == 3)
    assert not bar.isHidden()
    assert bar.bar.maximum() == 6
    qtbot.mouseClick(bar.stop_button, LEFT)
    assert not bar.stop_button.isEnabled()
    wait(qtbot, lambda: bar.isHidden())
    assert any("stopped. Resume it" in text for text, _ in messages)
    assert ("The batch was halved.", "warning") in messages
    assert any(
        text.startswith("pseudo_masks.gate of gland: 0.4, chosen on 9 tiles of val")
        for text, _ in messages
    )


def test_a_long_text_does_not_widen_the_dock(jobs, qtbot):
    bar = RunBar(jobs.model, jobs.actions)
    qtbot.addWidget(bar)
    bar._detail.setText("short")
    before = bar.minimumSizeHint().width()
    bar._detail.setText("masks for the next network: tile 1 of 99 " * 20)
    assert bar.minimumSizeHint().width() == before


def test_a_deaf_run_can_be_killed(show, jobs, qtbot, messages):
    bar = show(RunBar)
    jobs.actions.runs._patience = 0.05
    jobs.actions.runs.start(Job("train", RunSettings(), {}, {"behavior": "deaf"}))
    wait(qtbot, lambda: bar.bar.value() == 3)
    qtbot.mouseClick(bar.stop_button, LEFT)
    wait(qtbot, lambda: bar.stop_button.text() == "Kill")
    qtbot.mouseClick(bar.stop_button, LEFT)
    wait(qtbot, lambda: bar.isHidden())
    assert not jobs.model.runs.is_running


def test_failures_are_told_with_their_hint(show, jobs, qtbot, messages):
    bar = show(RunBar)
    jobs.actions.runs.start(Job("train", RunSettings(), {}, {"behavior": "fail"}))
    wait(qtbot, lambda: any("smaller batch size" in text for text, _ in messages))
    assert bar.isHidden()


def test_a_death_is_told_with_what_to_do(show, jobs, qtbot, messages):
    bar = show(RunBar)
    jobs.actions.runs.start(Job("train", RunSettings(), {}, {"behavior": "die"}))
    wait(qtbot, lambda: any("Resume it on" in text for text, _ in messages))
    assert not any("step 3" in text for text, _ in messages)
    assert bar.isHidden()


def test_old_ends_are_no_news(show, jobs, messages, qtbot):
    bar = show(RunBar)
    folder = finished(jobs, "train", reason="failed", message="Old trouble.")
    jobs.actions.runs.watch(folder.path)
    wait(qtbot, lambda: not jobs.actions.runs.is_following)
    assert not any("Old trouble" in text for text, _ in messages)
    assert bar.isHidden()


def test_list_has_the_newest_first_and_explains_failures(show, jobs):
    runs = show(RunList)
    assert runs.tree.isHidden()
    finished(jobs, "train", reason="failed", message="No memory. Use a smaller batch.")
    failed = jobs.model.runs.infos[0].path
    finished(jobs, "cams")
    assert runs.tree.topLevelItem(0).text(0) == "Compute CAMs"
    runs.select(failed)
    assert runs.message == "No memory. Use a smaller batch."
    assert "last line" in runs._log.toPlainText()
    assert not runs.resume_button.isHidden()
    runs.report_button.click()
    assert "No memory." in QGuiApplication.clipboard().text()


def test_outdated_runs_are_marked(show, jobs, qtbot):
    runs = show(RunList)
    finished(jobs, "train")
    assert runs.message == ""
    label_all(jobs)
    wait(qtbot, lambda: "changed since" in runs.message)


def test_a_run_at_work_keeps_its_mark(show, jobs, qtbot):
    runs = show(RunList)
    jobs.actions.runs.start(Job("train", RunSettings(), {}, {"behavior": "wait"}))
    wait(qtbot, lambda: jobs.model.runs.followed.step == 3)
    runs.select(jobs.model.runs.followed.path)
    label_all(jobs)
    wait(qtbot, lambda: "changed since" in runs.message)
    jobs.model.changes.note(Topic.PROGRESS)
    assert runs.tree.topLevelItem(0).text(2).endswith("⚠")
    jobs.actions.runs.stop()
    wait(qtbot, lambda: not jobs.actions.runs.is_following)


def test_resume_and_settings_of_the_list(show, jobs, qtbot, messages):
    runs = show(RunList)
    jobs.actions.runs.start(Job("train", RunSettings(), {}, {"behavior": "die"}))
    wait(qtbot, lambda: not jobs.actions.runs.is_following)
    assert "process crashed" in runs.message
    with qtbot.waitSignal(runs.settings_wanted) as caught:
        runs.settings_button.click()
    assert caught.args[0]["train"]["epochs"] == RunSettings().train.epochs
    jobs.actions.runs.start(Job("train", RunSettings(), {}, {"behavior": "wait"}))
    wait(qtbot, lambda: jobs.model.runs.followed.step == 3)
    jobs.actions.runs.stop()
    wait(qtbot, lambda: not jobs.actions.runs.is_following)
    runs.select(jobs.model.runs.followed.path)
    runs.resume_button.click()
    wait(qtbot, lambda: not jobs.actions.runs.is_following)
    assert jobs.model.runs.followed.state == "completed"
    assert runs.resume_button.isHidden()
    runs.show_button.click()
    wait(qtbot, lambda: not jobs.actions.runs.is_following)


def test_damaged_runs_are_listed_with_their_reason(show, jobs):
    runs = jobs.model.project.store.runs_path
    finished(jobs, "train")
    (runs / "a <b>").mkdir()
    (runs / "broken").mkdir()
    (runs / "broken" / "config.json").write_text("[" * 1000)
    jobs.actions.runs.refresh()
    page = show(RunList)
    texts = [page.tree.topLevelItem(i).text(0) for i in range(3)]
    assert texts == ["Train classifier", "a <b>", "broken"]
    page.select(runs / "a <b>")
    assert page.message == "This run is damaged: it has no config.json."
    assert not page.folder_button.isHidden()
    for button in (page.show_button, page.settings_button, page.report_button):
        assert button.isHidden()
    page.select(runs / "broken")
    assert "nested deeper than 64 levels" in page.message


def test_a_run_that_is_damaged_while_it_is_shown(show, jobs, messages):
    folder = finished(jobs, "train")
    page = show(RunList)
    (folder.path / "config.json").write_text("")
    page._copy_report()
    assert any("is damaged" in text for text, _ in messages)
    jobs.actions.runs.watch(folder.path)
    assert jobs.model.runs.followed.is_damaged
    page.refresh()
    assert page.selected.is_damaged

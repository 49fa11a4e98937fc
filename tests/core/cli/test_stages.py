import json
import os
import shutil
import signal
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import tifffile

from segmix_core.geometry import Box
from segmix_core.project.store import ProjectStore
from segmix_core.runs import (
    RunFolder,
    RunRequest,
    RunState,
    RunStatus,
    kill,
    list_runs,
)
from segmix_core.runs.writer import write_status
from segmix_core.settings import RunSettings
from segmix_core.stage_registry import STAGES


def only_run(project):
    (folder,) = list_runs(project / "runs")
    return folder


def test_a_stage_runs_to_its_end(project, work, segmix):
    work("count")
    result = segmix(
        *("train", project, "--epochs", "3", "--background", "score"),
        *("--set", "train.exact=false"),
    )
    assert result.exit_code == 0
    assert "train: 10 steps" in result.stdout
    assert "steps: 10" in result.stdout
    request = only_run(project).request()
    assert request.config["train"]["epochs"] == 3
    assert request.config["train"]["exact"] is False
    assert request.config["pseudo_masks"]["background"] == "score"
    assert request.project == project
    assert request.revision > 0


def test_corrections_are_exported_without_any_run(project, segmix, answer):
    result = segmix("export", project)
    assert result.exit_code == 2
    assert "Run 'segmix predict' first" in result.stderr
    with ProjectStore.open(project) as store:
        store.correct_mask(3, Box(0, 0, 8, 16), np.full((8, 16), 2, np.uint8))
    code, told = answer("export", project)
    assert code == 0
    (path,) = told["results"]["files"]
    assert told["results"]["only_corrections"] == [path]
    pixels = tifffile.imread(path, level=0)
    assert (pixels[:8, :16] == 2).all()
    assert (pixels == 255).sum() == pixels.size - 128


@pytest.mark.parametrize(
    ("backbone", "license"),
    [
        ("hf-hub:MahmoodLab/UNI", "MahmoodLab/UNI: CC BY-NC-ND 4.0 (non-commercial"),
        ("resnet18", "resnet18: Apache 2.0."),
        ("regnety_004", "regnety_004: bsd-3-clause."),
    ],
)
@pytest.mark.parametrize("weights", ["download", "/some/where.safetensors"])
def test_a_license_is_told_before_its_weights_are_used(
    project, work, segmix, backbone, license, weights
):
    work("count")
    settings = [f"train.backbone={backbone}", f"train.weights={weights}"]
    result = segmix("train", project, *(w for s in settings for w in ("--set", s)))
    assert result.exit_code == 0
    assert license in result.stderr
    assert "License" not in result.stdout


@pytest.mark.parametrize(
    "settings", [["train.backbone=resnet18"], ["train.weights=/some/where.safetensors"]]
)
def test_without_published_weights_no_license_is_told(project, work, segmix, settings):
    work("count")
    result = segmix("train", project, *(w for s in settings for w in ("--set", s)))
    assert result.exit_code == 0
    assert "License" not in result.stderr


def test_json_has_stdout_to_itself(project, work, answer):
    work("count")
    code, said = answer("train", project)
    assert code == 0
    assert said == {
        "run": str(only_run(project).path),
        "stage": "train",
        "state": "completed",
        "results": {"steps": 10},
        "message": "",
    }


@pytest.mark.parametrize(
    ("stage", "code", "message", "hint"),
    [
        ("user_error", 2, "There are no labels.", "Label some tiles."),
        ("bug", 1, "Unexpected error: RuntimeError: a bug", ""),
        ("die", 1, "The process crashed; its last", "Resume with: "),
    ],
)
def test_a_failure_has_an_exit_code_a_message_and_a_hint(
    project, work, answer, stage, code, message, hint
):
    work(stage)
    found, said = answer("train", project)
    assert found == code
    assert said["message"].startswith(message)
    assert said["hint"].startswith(hint)
    assert bool(said["hint"]) == bool(hint)


def test_a_run_is_stopped_watched_and_resumed(project, work, segmix, answer):
    work("wait")
    code, said = answer("train", project, "--detach")
    assert (code, said["state"]) == (0, "running")
    folder = RunFolder(project / "runs" / said["run"])
    assert segmix("stop", project).exit_code == 0
    watched = segmix("watch", project, folder.name)
    assert watched.exit_code == 3
    assert f"--resume {folder.name}" in watched.stdout
    work("count")
    code, said = answer("train", project, "--resume", folder.name)
    assert (code, said["state"], said["run"]) == (0, "completed", str(folder.path))
    ended = segmix("stop", project)
    assert ended.exit_code == 0  # It says how the run ended.
    assert f"{folder.name} is not running." in ended.stdout


def test_stop_and_watch_choose_the_run_in_progress(project, work, segmix, answer):
    work("wait")
    first = Path(answer("train", project, "--detach")[1]["run"]).name
    work("count")
    later = Path(answer("train", project)[1]["run"]).name
    assert later > first
    assert first in segmix("stop", project).stdout
    watched = segmix("watch", project, first)
    assert watched.exit_code == 3
    assert f"--resume {first}" in watched.stdout


@pytest.mark.usefixtures("impatient")
def test_a_deaf_run_is_killed(project, work, answer):
    work("deaf")
    answer("train", project, "--detach")
    code, said = answer("stop", project, "--kill")
    assert (code, said["state"]) == (0, "interrupted")


@pytest.mark.usefixtures("impatient")
@pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
@pytest.mark.parametrize(("stage", "state"), [("wait", "canceled"), ("deaf", None)])
def test_ctrl_c_stops_and_a_second_one_kills(project, work, segmix, stage, state):
    work(stage)
    seen = threading.Event()

    def press():
        while not (runs := list_runs(project / "runs")) or not runs[0].events()[0]:
            seen.wait(0.02)
        os.kill(os.getpid(), signal.SIGINT)
        if stage == "deaf":
            while not runs[0].stop_path.exists():
                seen.wait(0.02)
            os.kill(os.getpid(), signal.SIGINT)

    presser = threading.Thread(target=press)
    presser.start()
    result = segmix("train", project)
    presser.join()
    assert "press Ctrl-C again" in result.stderr
    assert result.exit_code == (3 if state else 1)
    assert only_run(project).state() == (state or RunState.INTERRUPTED)


def test_settings_of_a_resumed_run_stay(project, finished, answer):
    folder = finished("train")
    for given in (["--epochs", "3"], ["--set", "train.epochs=3"]):
        code, said = answer("train", project, "--resume", folder.name, *given)
        assert code == 2
        assert "Leave the settings out" in said["hint"]
    code, said = answer("cams", project, "--resume", folder.name)
    assert code == 2
    assert said["hint"] == "Use 'segmix train'."


@pytest.mark.parametrize(
    "stage", [stage.name for stage in STAGES.values() if stage.inputs]
)
def test_a_stage_says_which_one_comes_first(project, finished, work, answer, stage):
    needed = STAGES[stage].inputs[0]
    code, said = answer(stage, project)
    assert code == 2
    assert said["hint"].startswith(f"Run 'segmix {needed}' first")
    older, newer = finished(needed), finished(needed, 2e9)
    work("count")
    code, said = answer(stage, project)
    assert code == 0
    assert RunFolder(project / said["run"]).request().inputs == {needed: newer.path}
    code, said = answer(stage, project, "--run", older.name)
    assert RunFolder(project / said["run"]).request().inputs == {needed: older.path}


@pytest.mark.parametrize(("words", "fit"), [([], False), (["--fit"], True)])
def test_pseudo_masks_are_fitted_by_a_flag(project, finished, work, answer, words, fit):
    finished("cams")
    work("count")
    _, said = answer("pseudo-masks", project, *words)
    assert (
        RunFolder(project / "runs" / said["run"])
        .request()
        .config["pseudo_masks"]["fit"]
        is fit
    )


def chain(project, background, **train):
    """A training and its maps."""
    changes = {f"train.{name}": value for name, value in train.items()}
    config = RunSettings().replace({"pseudo_masks.background": background, **changes})
    runs = {}
    for number, stage in enumerate(("train", "cams")):
        content = config.model_dump(mode="json") if stage == "train" else {}
        inputs = {name: run.path for name, run in runs.items()}
        request = RunRequest(stage, project, content, inputs, created=3e9 + number)
        runs[stage] = RunFolder.create(project / "runs", request)
        write_status(runs[stage], RunStatus(state=RunState.COMPLETED))
    return runs["train"]


@pytest.mark.parametrize(
    ("background", "given", "expected"),
    [
        ("none", [], "none"),
        ("score", ["--set", "pseudo_masks.margin=0"], "score"),
        ("none", ["--background", "score"], "score"),
        ("none", ["--set", "pseudo_masks.background=glass"], "glass"),
        ("none", ["--config", "background.json"], "glass"),
        ("none", ["--config", "margin.json"], "none"),
    ],
)
def test_masks_have_the_background_of_the_training(
    project, work, segmix, tmp_path, monkeypatch, background, given, expected
):
    monkeypatch.chdir(tmp_path)
    for name, value in {"background": '"glass"', "margin": "0"}.items():
        text = f'{{"pseudo_masks": {{"{name}": {value}}}}}'
        (tmp_path / f"{name}.json").write_text(text)
    training = chain(project, background)
    work("count")
    result = segmix("pseudo-masks", project, *given)
    assert result.exit_code == 0
    note = f"{training.name} was trained on masks with the background {background}."
    assert note in result.stderr
    request = list_runs(project / "runs")[0].request()
    assert request.stage == "pseudo-masks"
    assert request.config["pseudo_masks"]["background"] == expected


def test_a_training_without_masks_has_no_background(project, work, segmix):
    chain(project, "none", method="cam")
    work("count")
    result = segmix("pseudo-masks", project)
    assert "background" not in result.stderr
    config = list_runs(project / "runs")[0].request().config
    assert config["pseudo_masks"]["background"] == "glass"


def test_a_training_that_is_gone_is_told(project, work, segmix):
    shutil.rmtree(chain(project, "none").path)
    work("count")
    result = segmix("pseudo-masks", project)
    assert result.exit_code == 0
    assert "Warning: The background setting of the training is unknown" in result.stderr


def test_a_run_of_the_wrong_stage_is_refused(project, finished, answer):
    code, said = answer("cams", project, "--run", finished("predict").path)
    assert code == 2
    assert "'cams' cannot read" in said["message"]


def test_a_missing_run_is_refused_with_those_there_are(project, finished, answer):
    code, said = answer("cams", project, "--run", "nowhere")
    assert code == 2
    assert said["hint"] == "There are no runs yet."
    name = finished("train").name
    assert name in answer("cams", project, "--run", "nowhere")[1]["hint"]


def test_images_are_chosen_by_name(project, finished, work, answer):
    finished("train-segmenter")
    work("count")
    _, said = answer("predict", project, "tile [2].png", "--format", "generic")
    request = RunFolder(project / said["run"]).request()
    assert request.options["format"] == "generic"
    assert len(request.options["image_ids"]) == 1
    _, said = answer("predict", project, "biopsies")
    assert len(RunFolder(project / said["run"]).request().options["image_ids"]) == 4
    _, said = answer("predict", project)
    assert RunFolder(project / said["run"]).request().options == {"format": "ome"}


def test_unknown_images_and_formats_are_refused(project, finished, answer):
    finished("train-segmenter")
    code, said = answer("predict", project, "other.png")
    assert (code, said["hint"]) == (2, "Choose a source such as biopsies.")
    code, said = answer("predict", project, "other/tile [2].png")
    assert code == 2
    assert (
        "no image or source named 'other/tile [2].png', but biopsies/t"
        in said["message"]
    )
    shutil.copytree(project.parent / "biopsies", project.parent / "more")
    answer("add", project, project.parent / "more")
    code, said = answer("predict", project, "tile [2].png")
    assert (code, said["hint"]) == (2, "Give a longer part of the path.")
    assert "biopsies/tile [2].png or more/tile [2].png" in said["message"]
    code, said = answer("predict", project, "--format", "bmp")
    assert (code, said["error"]) == (2, "ConfigError")


def test_labels_are_checked_before_a_run_is_made(tmp_path, segmix, answer):
    project = tmp_path / "empty"
    segmix("new", project, "--classes", "a,b")
    code, said = answer("train", project)
    assert (code, said["error"]) == (2, "ProjectError")
    assert not (project / "runs").exists()


def test_a_folder_without_a_project_is_an_error(tmp_path, answer):
    assert answer("cams", tmp_path)[0] == 2


def test_watching_needs_a_run(project, answer):
    code, said = answer("watch", project)
    assert code == 2
    assert "segmix train" in said["hint"]


def test_kill_is_quiet_about_a_finished_run(project, finished):
    kill(finished("train"))


def test_settings_come_from_an_earlier_run(project, work, answer, finished):
    work("count")
    first = answer("train", project, "--epochs", "5", "--method", "cam")[1]["run"]
    config = f"{first}/config.json"
    second = answer("train", project, "--config", config, "--method", "seam")[1]["run"]
    with open(f"{second}/config.json", encoding="utf-8") as file:  # noqa: PTH123
        stored = json.load(file)["config"]["train"]
    assert (stored["epochs"], stored["method"]) == (5, "seam")

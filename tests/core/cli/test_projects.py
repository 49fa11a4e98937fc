from typing import get_args

import numpy as np
import pytest
from PIL import Image

from segmix_core.cli.projects import Kind
from segmix_core.geometry import Box
from segmix_core.project.labels_import import ImportKind
from segmix_core.project.records import Review
from segmix_core.project.store import ProjectStore
from segmix_core.runs import RunFolder, RunRequest


def test_a_project_is_made_with_its_classes(tmp_path, answer):
    path = tmp_path / "new.segmix"
    colors = "#ff0000,#00ff00"
    code, said = answer("new", path, "--classes", "gland, stroma", "--colors", colors)
    assert code == 0
    assert [entry["name"] for entry in said["classes"]] == ["gland", "stroma"]
    assert [entry["color"] for entry in said["classes"]] == ["#ff0000", "#00ff00"]
    code, said = answer("new", path, "--classes", "a,b")
    assert (code, said["error"]) == (2, "ProjectError")


def test_colors_must_match_the_classes(tmp_path, segmix):
    result = segmix("new", tmp_path / "p", "--classes", "a,b", "--colors", "#ff0000")
    assert result.exit_code == 2
    assert "1 colors for 2 classes" in result.stderr


def test_sources_labels_and_runs_are_shown(project, finished, segmix, answer):
    run = finished("train")
    code, said = answer("status", project)
    assert code == 0
    (source,) = said["sources"]
    counts = (source["images"], source["tiles"], source["labeled"])
    assert counts == (4, 4, 4)
    assert [entry["present"] for entry in said["classes"]] == [2, 2]
    assert said["runs"][0]["run"] == run.name
    text = segmix("status", project).stdout
    assert "stroma" in text
    assert run.name in text


def test_only_what_a_run_is_made_of_outdates_it(project, answer):
    def outdated():
        return [run["outdated"] for run in answer("status", project)[1]["runs"]]

    with ProjectStore.open(project) as store:
        train = RunFolder.create(
            store.runs_path, RunRequest("train", project, revision=store.revision)
        )
        tile = store.tiles().ids[:1]
        store.set_reviews(tile, Review.ACCEPTED)
        store.correct_mask(1, Box(0, 0, 2, 2), np.ones((2, 2), np.uint8))
        assert outdated() == [False]
        store.set_labels(tile, np.array([[0, 1]], np.int8))
        assert outdated() == [True]
        inputs = {"train": train.path}
        request = RunRequest("cams", project, inputs=inputs, revision=store.revision)
        RunFolder.create(store.runs_path, request)
        assert outdated() == [True, True]


def test_an_empty_project_says_so(tmp_path, segmix):
    segmix("new", tmp_path / "p", "--classes", "a,b")
    text = segmix("status", tmp_path / "p").stdout
    assert "Sources: none yet." in text
    assert "Runs: none yet." in text


def test_adding_twice_is_an_error(project, images, answer):
    code, said = answer("add", project, images)
    assert (code, said["error"]) == (2, "ProjectError")


@pytest.mark.parametrize(
    "option", ["--tile-px", "--stride-px", "--mpp", "--min-tissue"]
)
def test_options_of_add_reach_the_intake(project, images, tmp_path, answer, option):
    code, _ = answer("add", project, images, option, "-1")
    assert code == 2


def test_labels_are_imported(tmp_path, project, images, answer):
    table = tmp_path / "labels.csv"
    table.write_text(
        "filename,is_gland,is_stroma\ntile [0].png,0,1\n", encoding="utf-8"
    )
    code, said = answer("import-labels", project, table)
    assert code == 0
    assert (said["images"], said["tiles"]) == (1, 1)
    with ProjectStore.open(project) as store:
        assert store.tiles().labels[0].tolist() == [0, 1]
    code, said = answer("import-labels", project, table, "--kind", "windows")
    assert (code, said["error"]) == (2, "ProjectError")
    given = ["--kind", "brackets", "--preset", "nonsense"]
    code, said = answer("import-labels", project, images, *given)
    assert (code, said["error"]) == (2, "ProjectError")


def test_overturned_labels_are_counted_or_kept(tmp_path, project, answer, segmix):
    table = tmp_path / "labels.csv"
    table.write_text("filename,is_gland\ntile [0].png,0\ntile [1].png,0\n")
    code, said = answer("import-labels", project, table, "--keep")
    assert (code, said["overturned"], said["kept"], said["labels"]) == (0, 0, 1, 0)
    code, said = answer("import-labels", project, table)
    assert (code, said["overturned"], said["kept"], said["labels"]) == (0, 1, 0, 2)
    assert "1 known label changed to the opposite" in said["notes"][0]
    assert "line 2 (tile [0].png)" in said["notes"][0]
    code, said = answer("import-labels", project, table, "--keep", "--replace")
    assert (code, said["hint"]) == (2, "Choose one of them.")


def test_every_kind_of_file_can_be_named():
    assert [str(kind) for kind in Kind] == list(get_args(ImportKind))


def test_windows_replace_labeled_tiles_only_when_told(tmp_path, project, answer):
    table = tmp_path / "windows.csv"
    table.write_text(
        "filename,split,x,y,size,has_gland,has_stroma\n"
        "tile [0].png,train,0,0,16,1,0\ntile [0].png,train,16,0,16,0,1\n",
        encoding="utf-8",
    )
    code, said = answer("import-labels", project, table)
    assert (code, said["error"]) == (2, "ProjectError")
    code, said = answer("import-labels", project, table, "--replace")
    assert (code, said["tiles"]) == (0, 2)


def test_a_moved_folder_is_found_again(project, images, answer):
    moved = images.rename(images.with_name("moved images"))
    code, said = answer("relocate", project, "1", moved)
    assert (code, said["path"]) == (0, str(moved))
    with ProjectStore.open(project) as store:
        assert all(image.path.parent == moved for image in store.images())
    code, said = answer("relocate", project, images.name, images)
    assert (code, said["error"]) == (2, "ProjectError")
    code, said = answer("relocate", project, "MOVED images", moved)
    assert (code, said["notes"]) == (0, [])


def test_other_images_are_no_new_place(project, images, answer):
    other = images.with_name("other")
    other.mkdir()
    for path in images.iterdir():
        Image.new("RGB", (64, 32)).save(other / path.name)
    code, said = answer("relocate", project, "1", other)
    assert (code, said["error"]) == (2, "ProjectError")
    assert (
        "32 x 64 pixels (height x width), but the image in the project"
        in said["message"]
    )


def test_an_unknown_source_is_named(project, images, answer):
    code, said = answer("relocate", project, "nothing", images)
    assert code == 2
    assert "The sources are: 1 " in said["hint"]


def test_status_lists_damaged_runs_and_hides_nothing(project, answer, segmix):
    answer("train", project, "--prepare")
    (project / "runs" / "a\x1b[31m").mkdir()
    code, said = answer("status", project)
    assert code == 0
    assert said["runs"][0] == {
        "run": "a\x1b[31m",
        "state": "damaged",
        "reason": "it has no config.json",
    }
    assert said["runs"][1]["stage"] == "train"
    text = segmix("status", project).output
    assert r"The run a\x1b[31m is damaged: it has no config.json." in text
    assert "\x1b[31m" not in text


def test_status_warns_at_the_end_of_files_that_are_gone(
    project, images, answer, segmix
):
    assert answer("status", project)[1]["missing_files"] == []
    (images / "tile [1].png").unlink()
    code, said = answer("status", project)
    assert (code, said["missing_files"]) == (0, [str(images / "tile [1].png")])
    assert said["changed_files"] == []
    text = segmix("status", project).output
    assert text.index("tile [1].png is missing.") > text.index("Runs")


def test_what_cannot_be_added_is_named_and_the_rest_is_added(
    project, tmp_path, images, segmix, answer
):
    good = tmp_path / "more"
    good.mkdir()
    (images / "tile [0].png").rename(good / "new.png")
    (good / "bad.png").write_bytes(b"no image")
    result = segmix("add", project, good, tmp_path / "none.svs")
    assert result.exit_code == 0
    assert "2 files were skipped: none.svs, bad.png." in result.stderr
    code, said = answer("add", project, good)
    assert (code, said["error"]) == (2, "SlideError")
    assert "None of the 2 files can be added" in said["message"]


def test_a_pixel_size_is_set_later_and_taken_back(project, images, segmix, answer):
    result = segmix("set-mpp", project, "1", "0.25")
    assert result.exit_code == 0
    assert "tiles and masks do not change" in result.stdout
    with ProjectStore.open(project) as store:
        assert {image.mpp for image in store.images()} == {0.25}
        assert "0.25 µm" in store.undo("labels").description
        assert {image.mpp for image in store.images()} == {None}
    code, said = answer("set-mpp", project, images.name, "0.5", "--mpp-x", "0.25")
    assert (code, said["mpp_y"], said["mpp_x"]) == (0, 0.5, 0.25)
    with ProjectStore.open(project) as store:
        assert (store.images()[0].mpp_y, store.images()[0].mpp_x) == (0.5, 0.25)
    code, said = answer("set-mpp", project, "1", "5000")
    assert (code, said["error"]) == (2, "ProjectError")


def test_changed_files_are_told_and_accepted(project, images, segmix, answer):
    with ProjectStore.open(project) as store:
        request = RunRequest("train", project, revision=store.revision)
    RunFolder.create(project / "runs", request)
    _, said = answer("status", project)
    assert [run["outdated"] for run in said["runs"]] == [False]
    path = images / "tile [1].png"
    path.write_bytes((images / "tile [2].png").read_bytes())
    result = segmix("status", project)
    assert "tile [1].png has changed on disk since it was added" in result.stderr
    _, said = answer("status", project)
    assert said["changed_files"] == [str(path)]
    assert [run["outdated"] for run in said["runs"]] == [True]
    code, said = answer("relocate", project, "1", images)
    assert code == 0
    assert "Accepted 1 changed file, such as tile [1].png." in said["notes"][0]
    _, said = answer("status", project)
    assert said["changed_files"] == []
    assert [run["outdated"] for run in said["runs"]] == [True]
    code, said = answer("relocate", project, "1", images)
    assert (code, said["notes"]) == (0, [])


def test_a_source_that_moved_is_not_accepted_unseen(project, images, answer):
    moved = images.rename(images.with_name("moved images"))
    (moved / "tile [1].png").write_bytes((moved / "tile [2].png").read_bytes())
    code, said = answer("relocate", project, "1", moved)
    assert code == 0
    assert "changed since being added" in said["notes"][0]
    _, said = answer("status", project)
    assert len(said["changed_files"]) == 1

"""A project as arrays."""

import numpy as np
import pytest
from PIL import Image

import segmix_core as sx
from segmix_core.geometry import Box
from segmix_core.runs import RunFolder, RunRequest
from segmix_core.runs.child import run_child
from segmix_core.runs.results import create_mask


@pytest.fixture
def project(tmp_path):
    images = tmp_path / "tiles"
    images.mkdir()
    for number in range(3):
        pixels = np.full((32, 32, 3), 100 + number, np.uint8)
        Image.fromarray(pixels).save(images / f"{number}.png")
    with sx.Project.create(str(tmp_path / "skin.segmix"), ["gland", "fat"]) as found:
        report = found.add_images([images])
        assert len(report.sources) == 1
        yield found


def test_labels_are_arrays(project):
    assert project.class_names == ("gland", "fat")
    assert project.labels.tolist() == [[-1, -1]] * 3
    ids = project.tile_ids
    project.set_labels(ids[:2], [[1, 0], [-2, 1]])
    assert project.labels.tolist() == [[1, 0], [-1, 1], [-1, -1]]
    # Arrays are copies: only set_labels changes the project.
    project.labels[:] = 1
    assert project.labels.tolist()[2] == [-1, -1]
    assert project.undo() is not None
    assert (project.labels == -1).all()


@pytest.mark.parametrize(
    ("ids", "states", "problem"),
    [
        ([1], [[1]], r"\(1, 2\), not \(1, 1\)"),
        ([1, 2], [[1, 0]], r"\(2, 2\), not \(1, 2\)"),
        ([1], [[3, 0]], "not 1, 0, -1 or -2"),
        ([1, 1], [[1, 0], [1, 0]], "named twice"),
    ],
)
def test_labels_that_do_not_fit_are_refused(project, ids, states, problem):
    with pytest.raises(sx.DataError, match=problem):
        project.set_labels(ids, states)


def test_columns_may_be_named(project):
    project.set_labels([1], [[1, 0]], classes=["fat", "gland"])
    project.set_labels([2], [[0]], classes=["fat"])
    project.set_labels([3], [[1, 0]], classes=project.classes())
    assert project.labels.tolist() == [[0, 1], [-1, 0], [1, 0]]
    with pytest.raises(sx.ProjectError, match=r"has no class 'bone'") as caught:
        project.set_labels([1], [[1, 1]], classes=["gland", "bone"])
    assert caught.value.hint == "Its classes are gland, fat."
    with pytest.raises(sx.DataError, match="named twice"):
        project.set_labels([1], [[1, 1]], classes=["gland", "gland"])


def test_one_path_is_a_path_and_not_its_letters(project, tmp_path):
    more = tmp_path / "more.png"
    Image.fromarray(np.full((32, 32, 3), 9, np.uint8)).save(more)
    assert len(project.add_images(str(more)).sources) == 1
    with pytest.raises(sx.ProjectError, match="no files to add"):
        project.add_images([])


@pytest.mark.parametrize(
    ("classes", "problem"),
    [("gland", "are one text, 'gland'"), ([1, 2], "1 cannot be the name")],
)
def test_classes_of_a_project_are_names(tmp_path, classes, problem):
    with pytest.raises(sx.ProjectError, match=problem):
        sx.Project.create(tmp_path / "other.segmix", classes)


def test_masks_are_arrays(project):
    project.correct_mask(1, Box(0, 0, 4, 4), np.full((4, 4), 2, np.uint8))
    corrected = project.corrected_mask(1)
    assert corrected.shape == (32, 32)
    assert (corrected[:4, :4] == 2).all()
    assert (corrected == 254).sum() == 32 * 32 - 16
    with pytest.raises(sx.JobError, match="has no pseudo masks"):
        project.pseudo_mask(1)
    request = RunRequest("pseudo-masks", project.path, {}, {}, {})
    run = RunFolder.create(project.runs_path, request)
    create_mask(run.path, 1, (32, 32))[:] = 1
    run_child(run, lambda request, writer: {})
    assert [found.path for found in project.runs()] == [run.path]
    assert (project.pseudo_mask(1) == 1).all()
    with pytest.raises(sx.JobError, match=r"no mask of 1\.png"):
        project.pseudo_mask(2, run)
    with pytest.raises(sx.ProjectError):
        project.pseudo_mask(9)

import numpy as np
import pytest
import torch

from segmix_core.data.samples import MaskedSamples
from segmix_core.errors import JobError
from segmix_core.events import StageStarted, Warned
from segmix_core.geometry import Box
from segmix_core.models.checkpoint import load_checkpoint
from segmix_core.pipeline import run_stage
from segmix_core.runs import RunState, find_inputs
from segmix_core.runs.child import EXIT_ERROR, run_child
from segmix_core.runs.results import create_mask, mask_ids, open_mask
from segmix_core.stages import train_segmenter
from segmix_core.training import segmenter
from segmix_core.training.segmenter_task import SegmenterTask


def fill_masks(workshop, value):
    """Let the newest pseudo masks have one value everywhere."""
    (base,) = find_inputs(workshop.project / "runs", "train-segmenter").values()
    for image_id in mask_ids(base):
        shape = open_mask(base, image_id).shape
        create_mask(base, image_id, shape)[:] = value
    return base


def correct(workshop, image_id, value):
    with workshop.store() as store:
        shape = store.image(image_id).working_shape
        values = np.full(shape, value, np.uint8)
        store.correct_mask(image_id, Box(0, 0, *shape), values)


def test_a_run_leaves_weights_and_results(finished_slide):
    (run,) = find_inputs(finished_slide.project / "runs", "predict").values()
    checkpoint = load_checkpoint(run / "checkpoints" / "last", kind="segmenter")
    assert checkpoint.class_names == ("plain", "striped")
    assert checkpoint.arguments["num_classes"] == 2


@pytest.mark.parametrize(("value", "has_background"), [(0, True), (1, False)])
def test_background_is_a_channel_where_masks_have_it(folder, value, has_background):
    fill_masks(folder, 1)
    correct(folder, 1, value)
    run = folder.run("train-segmenter", changes={"segmenter.epochs": 1})
    arguments = load_checkpoint(run.checkpoints_path / "last").arguments
    assert arguments["has_background"] is has_background


def test_every_pixel_up_to_the_border_of_the_network_is_learned(folder, monkeypatch):
    """Or it would answer at random along the borders of what it predicts."""
    fill_masks(folder, 1)
    correct(folder, 1, 1)
    seen = []
    step = SegmenterTask.training_step

    def watched(task, batch, context):
        seen.append((batch.images.shape[-2:], task.module.size_multiple))
        assert (batch.masks == 1).all()
        assert (batch.weights > 0).all()
        return step(task, batch, context)

    monkeypatch.setattr(SegmenterTask, "training_step", watched)
    settings = {"epochs": 1, "depth": 5, "encoder": "tu-mobilenetv3_small_050"}
    folder.run(
        "train-segmenter",
        changes={f"segmenter.{name}": value for name, value in settings.items()},
    )
    assert seen
    assert all(edge % multiple == 0 for edges, multiple in seen for edge in edges)


def test_few_tiles_are_passed_more_often_unless_epochs_are_given(folder, monkeypatch):
    fill_masks(folder, 1)
    seen = []

    def fit(task, loader, settings, **others):
        seen.append((loader.steps_per_epoch, settings.epochs))
        raise JobError("Nothing should train here.", "Look at the settings.")

    monkeypatch.setattr(segmenter, "fit", fit)
    for epochs in (0, 3):
        with pytest.raises(JobError, match="Nothing should train"):
            folder.attempt("train-segmenter", changes={"segmenter.epochs": epochs})
    assert seen == [(2, 50), (2, 3)]


def test_enough_epochs():
    enough = [segmenter.enough_epochs(steps) for steps in (399, 13, 12, 1)]
    assert enough == [8, 8, 9, 100]


def test_corrections_win_and_weigh(folder, monkeypatch):
    """The samples of the stage, seen by a twin that notes what they are."""
    fill_masks(folder, 1)
    correct(folder, 2, 2)
    seen = {}

    def fit(samples, *others, **options):
        for row, tile_id in enumerate(samples.ids):
            sample = samples.read(row)
            seen[image_ids[int(tile_id)]] = (
                set(sample.mask.flat),
                set(sample.weight.flat),
            )
        raise JobError("Nothing should train here.", "Look at the samples.")

    with folder.store() as store:
        tiles = store.tiles()
    image_ids = dict(zip(tiles.ids.tolist(), tiles.image_ids.tolist(), strict=True))
    monkeypatch.setattr(train_segmenter, "fit_segmenter", fit)
    with pytest.raises(JobError, match="Nothing should train"):
        folder.attempt("train-segmenter", changes={"segmenter.corrected_weight": 3.0})
    assert seen[1] == ({1}, {1.0})
    assert seen[2] == ({2}, {3.0})


@pytest.mark.parametrize("is_drawn", [True, False])
def test_a_background_that_few_tiles_have(folder, monkeypatch, is_drawn):
    """A drawn one is learned wherever it is; an uncounted one breaks no step."""
    base = fill_masks(folder, 1)
    if is_drawn:
        correct(folder, 12, 0)
    else:
        create_mask(base, 12, open_mask(base, 12).shape)[:] = 0
    counted = MaskedSamples.count_pixels
    monkeypatch.setattr(
        MaskedSamples,
        "count_pixels",
        lambda self, classes, also: counted(self, classes, 1, also=also),
    )
    run = folder.run("train-segmenter", changes={"segmenter.epochs": 1})
    arguments = load_checkpoint(run.checkpoints_path / "last").arguments
    assert arguments["has_background"] is is_drawn


def test_corrections_that_are_not_learned_from_are_told(folder):
    fill_masks(folder, 1)
    correct(folder, 2, 2)
    with folder.store() as store:
        store.set_splits([2], ["test"])
    run = folder.run("train-segmenter", changes={"segmenter.epochs": 1})
    told = [event.message for event in run.events()[0] if isinstance(event, Warned)]
    assert len(told) == 1
    assert told[0].startswith("1 corrected tiles are not used")


def test_masks_without_a_decision_cannot_train(folder):
    fill_masks(folder, 255)
    with pytest.raises(JobError, match=r"no pixel with a class.*smaller margin"):
        folder.attempt("train-segmenter")


def test_masks_of_other_splits_do_not_train(folder):
    with folder.store() as store:
        ids = [image.id for image in store.images()]
        store.set_splits(ids, ["test"] * len(ids))
    with pytest.raises(JobError, match="pseudo masks of the training images"):
        folder.attempt("train-segmenter")


def test_stopped_and_resumed_is_the_unbroken_run(folder):
    whole = folder.run("train-segmenter")
    writer = folder.stop("train-segmenter")
    assert writer.stopped
    assert writer.asked == 1
    assert writer.folder.state() is RunState.CANCELED
    folder.resume(writer.folder)
    events, _ = writer.folder.events()
    assert [e.resumed_at for e in events if isinstance(e, StageStarted)] == [0, 1]
    first, second = (
        load_checkpoint(run.checkpoints_path / "last", with_training=True)
        for run in (whole, writer.folder)
    )
    assert first.step == second.step == 4
    for name, value in (first.weights | first.training).items():
        assert torch.equal(value, (second.weights | second.training)[name]), name


def test_the_weights_that_predict_are_the_average_of_those_of_the_steps(folder):
    # The average of a run of up to ten steps is its last step.
    # All of the encoder is in use at this depth.
    long = {"segmenter.epochs": 8, "segmenter.depth": 4}
    average, last = (
        load_checkpoint(run.checkpoints_path / "last", with_training=True)
        for run in (
            folder.run("train-segmenter", changes=long | {"segmenter.average": choice})
            for choice in (True, False)
        )
    )
    for name, value in last.weights.items():
        # What is the same in both is stored once.
        own = average.training.get(f"weights/{name}", average.weights[name])
        assert torch.equal(value, own), name
    name = max(last.weights, key=lambda key: last.weights[key].numel())
    assert not torch.equal(average.weights[name], last.weights[name])


def test_an_unknown_encoder_is_an_error(folder):
    run = folder.folder("train-segmenter", changes={"segmenter.encoder": "nonsense"})
    assert run_child(run, run_stage) == EXIT_ERROR
    assert "encoder" in run.ended().message

import numpy as np
import pytest
import torch

from segmix_core.data.tile_reader import TileReader
from segmix_core.events import (
    CheckpointWritten,
    CurriculumDecided,
    Metrics,
    PreviewWritten,
    Progress,
    StageStarted,
)
from segmix_core.inference.pseudo_rules import PseudoMaskRules
from segmix_core.methods import SegMixPlus
from segmix_core.models.checkpoint import load_checkpoint
from segmix_core.runs import RunState
from segmix_core.stages.stored_maps import ImageMaps, StoredMaps
from segmix_core.training.method_parts import parts_of
from segmix_core.training.self_training import share_epochs

PLUS = {
    "train.method": "segmix-plus",
    "train.epochs": 3,
    "train.pooled_share": 0.5,
}
"""Networks of 4 and 2 steps; the second always has the share of masks, 0.1, alone."""


def last(folder):
    return load_checkpoint(folder.checkpoints_path / "last", kind="classifier")


def test_epochs_are_shared():
    assert share_epochs(24, 1) == (16, 8)
    assert share_epochs(8, 2) == (4, 2, 2)
    assert share_epochs(9, 1) == (6, 3)
    assert share_epochs(3, 2) == (1, 1, 1)
    assert share_epochs(5, 0) == (5,)


@pytest.mark.parametrize(("epochs", "rounds"), [(1, 0), (2, 1), (3, 2), (9, 2)])
def test_every_network_has_an_epoch(epochs, rounds):
    assert parts_of(SegMixPlus(epochs=epochs, rounds=2)).rounds == rounds


def test_the_last_network_is_used_and_the_first_kept(folder):
    run = folder.run("train", changes=PLUS)
    assert run.ended().results == {"steps": 6, "tiles": 12}
    assert last(run).step == 6
    assert last(run).arguments["pooled_share"] == 0.1
    assert last(run).arguments["pooled_mean"] == 0
    own = load_checkpoint(run.checkpoints_path / "round-1" / "last")
    assert own.step == 2
    for name, tensor in last(run).weights.items():
        assert torch.equal(tensor, own.weights[name]), name
    # Stages after it work with it.
    cams = folder.run("cams")
    assert cams.ended().results["tiles"] > 0


def test_both_trainings_are_one_to_who_follows_them(folder):
    run = folder.run("train", changes=PLUS)
    events, _ = run.events()
    started = [e for e in events if isinstance(e, StageStarted)]
    assert [(e.total_steps, e.resumed_at) for e in started] == [(6, 0)]
    progress = [e for e in events if isinstance(e, Progress)]
    assert {e.total for e in progress} == {6}
    steps = [e.step for e in progress]
    assert steps == sorted(steps)
    assert steps[-1] == 6
    assert any("next network: tile 12 of 12" in e.message for e in progress)
    metrics = [e for e in events if isinstance(e, Metrics)]
    assert {e.epoch for e in metrics} == {0, 1, 2}
    assert "map" in metrics[-2].values
    written = [e for e in events if isinstance(e, CheckpointWritten)]
    assert max(e.step for e in written) == 6
    places = {e.path for e in written}
    assert places == {"checkpoints/last", "checkpoints/round-1/last"}
    assert all((run.path / place).is_dir() for place in places)
    assert all(e.step < 4 for e in events if isinstance(e, CurriculumDecided))
    shown = [e for e in events if isinstance(e, PreviewWritten) and e.content == "cam"]
    # Epochs of two steps: two of the first network, one of the second.
    assert [e.step for e in shown if e.step > 0] == [2, 4, 6]


@pytest.mark.parametrize("after", [2, 5])
def test_stopped_and_resumed_is_the_unbroken_run(folder, after):
    whole = folder.run("train", changes=PLUS)
    writer = folder.stop("train", after=after, changes=PLUS)
    broken = writer.folder
    assert broken.state() is RunState.CANCELED
    # Whoever stops in the last third uses the network of the first.
    assert last(broken).arguments["pooled_share"] == 0.5
    folder.resume(broken)
    found = last(broken)
    assert found.step == 6
    for name, tensor in last(whole).weights.items():
        assert torch.equal(tensor, found.weights[name]), name


def test_a_run_that_is_done_is_not_done_again(folder):
    run = folder.run("train", changes=PLUS)
    before = last(run).weights
    run.request_stop()
    folder.resume(run)
    assert all(torch.equal(before[n], t) for n, t in last(run).weights.items())


def test_no_round_is_the_first_network_alone(folder):
    changes = {"train.rounds": 0, "train.pooled_mean": 0.3}
    run = folder.run("train", changes=PLUS | changes)
    assert last(run).arguments["pooled_share"] == 0.5
    assert last(run).arguments["pooled_mean"] == 0.3
    assert last(run).arguments["fusion"]
    assert not (run.checkpoints_path / "round-1").exists()


def test_the_best_epoch_teaches_and_the_last_network_is_used(folder):
    with folder.store() as store:
        ids = [image.id for image in store.images()[-3:]]
        store.set_splits(ids, ["val"] * 3)
    run = folder.run("train", changes=PLUS | {"train.keep": "best"})
    events, _ = run.events()
    measured = [e for e in events if isinstance(e, Metrics) and "val_loss" in e.values]
    # The loss of labels is that of the network that learns from labels.
    assert {e.epoch for e in measured} == {0, 1}
    best = load_checkpoint(run.checkpoints_path / "best")
    assert best.arguments["pooled_share"] == 0.1
    assert folder.run("cams").ended().results["tiles"] > 0


@pytest.mark.parametrize(
    ("changes", "shares"),
    [
        ({}, True),
        ({"pseudo_masks.background": "score"}, True),
        ({"pseudo_masks.background": "none"}, False),
        ({"train.shared_foreground": False}, False),
    ],
)
def test_classes_share_a_foreground_where_masks_have_background(
    folder, changes, shares
):
    run = folder.run("train", changes=PLUS | changes)
    assert last(run).arguments["shared_foreground"] is shares
    # The first network learns from labels, which say nothing of background.
    first = folder.stop("train", after=2, changes=PLUS | changes)
    assert not last(first.folder).arguments["shared_foreground"]


def test_labels_that_change_after_the_maps_decide_who_has_the_foreground(folder):
    """Maps are kept as classes share them, whatever the labels were then."""
    with folder.store() as store:
        (tile,) = store.tiles().ids[:1]
        store.set_labels([tile], [[1, 0]])
    folder.run("train", changes=PLUS)
    maps = StoredMaps(folder.run("cams").path)
    assert maps.shared_foreground
    assert (maps.cam(int(tile)).max(axis=(1, 2)) > 0).all()
    rules = PseudoMaskRules(background="score", margin=0.0, min_object_px=0)
    with folder.store() as store:
        (image,) = (i for i in store.images() if i.id == store.tiles().image_ids[0])
        found = {}
        for labels in ([1, 0], [0, 1]):
            store.set_labels([tile], [labels])
            own = store.tiles().take(slice(0, 1))
            with TileReader([image]) as reader:
                evidence = ImageMaps(image, own, maps, reader)
                mask, _ = evidence.evidence(0, with_pixels=False).mask(rules)
            found[labels[0]] = mask
    assert set(np.unique(found[1])) <= {0, 1}
    assert np.array_equal(found[1] == 1, found[0] == 2)
    assert (found[1] == 1).any()

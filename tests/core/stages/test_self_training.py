from types import SimpleNamespace

import numpy as np
import pytest
import torch

from segmix_core.config import RunConfig
from segmix_core.data.tile_reader import TileReader, pad_tile
from segmix_core.events import (
    CheckpointWritten,
    CurriculumDecided,
    Metrics,
    PreviewWritten,
    Progress,
    StageStarted,
)
from segmix_core.geometry import Box
from segmix_core.inference.cam_maps import cam_maps
from segmix_core.inference.pseudo_masks import make_pseudo_mask
from segmix_core.inference.pseudo_rules import PseudoMaskRules
from segmix_core.models.cam_classifier import CamClassifier
from segmix_core.models.checkpoint import load_checkpoint
from segmix_core.runs import RunState
from segmix_core.sections.train import TrainConfig
from segmix_core.stages import teacher
from segmix_core.stages.job import Job, Stopped, labelled_tiles, samples_of
from segmix_core.stages.methods import parts_of
from segmix_core.stages.self_training import share_epochs
from segmix_core.stages.stored_maps import ImageMaps, StoredMaps
from segmix_core.stages.teacher import PackedMasks, Teacher

PLUS = {
    "train.method": "segmix-plus",
    "train.epochs": 3,
    "train.pooled_share": 0.5,
}
"""Networks of 4 and 2 steps; the second always has the share of masks, 0.1."""


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
    settings = TrainConfig(method="segmix-plus", epochs=epochs, rounds=2)
    assert parts_of(settings).rounds(settings) == rounds


def test_the_last_network_is_used_and_the_first_kept(folder):
    run = folder.run("train", changes=PLUS)
    assert run.ended().results == {"steps": 6, "tiles": 12}
    assert last(run).step == 6
    assert last(run).arguments["pooled_share"] == 0.1
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
    assert any("masks of tile 12 of 12" in e.message for e in progress)
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
    assert broken.state() is RunState.CANCELLED
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
    run = folder.run("train", changes=PLUS | {"train.rounds": 0})
    assert last(run).arguments["pooled_share"] == 0.5
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


class Quiet:
    def __init__(self, stops: bool = False) -> None:
        self.events, self._stops = [], stops

    def emit(self, event):
        self.events.append(event)

    def should_stop(self):
        return self._stops

    def save_preview(self, step, content, **arrays):
        raise AssertionError


def teach(workshop, listener, changes=None):
    settings = {"pseudo_masks.background": "none", "pseudo_masks.margin": 0.0}
    folder = workshop.folder("train", changes=settings | (changes or {}))
    with workshop.store() as store:
        job = Job(store, RunConfig.parse(folder.request().config), None, None)
        tiles, images = labelled_tiles(store), store.images()
        torch.manual_seed(0)
        model = CamClassifier(num_classes=2, width=8).eval()
        with TileReader(images) as reader:
            _, edge = samples_of(tiles, images, reader)
            source = Teacher(job, tiles, reader, reader, edge)(model, listener)
            yield from (
                (row, tiles, source.tiles, source.read(row)) for row in range(12)
            )


def test_masks_hold_only_what_a_tile_is_labelled_with(folder):
    with folder.store() as store:
        ids = store.tiles().ids
        store.set_labels(ids[:1], [[-1, 1]])
    for row, tiles, taught, sample in teach(folder, Quiet()):
        labels = tiles.labels[row]
        classes = set(np.unique(sample.mask)) - {255}
        absent = {column + 1 for column, label in enumerate(labels) if label == 0}
        assert not classes & absent
        if (labels == 1).sum() == 1 and (labels >= 0).all():
            assert classes == {1 + labels.argmax()}
        # Of a class that is unknown in the tile the mask tells nothing.
        assert (taught.labels[row] == (labels != -1)).all()


def test_corrections_overrule_the_teacher(folder):
    with folder.store() as store:
        tiles = store.tiles()
        image_id = int(tiles.image_ids[0])
        store.correct_mask(image_id, Box(0, 0, 8, 8), np.full((8, 8), 2, np.uint8))
    weights = set()
    for row, tiles, _, sample in teach(folder, Quiet()):
        if int(tiles.image_ids[row]) == image_id:
            assert (sample.mask[:8, :8] == 2).all()
            weights = set(np.unique(sample.weight[:8, :8]))
    assert weights == {4.0}


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


def test_the_teacher_stops_when_asked(folder):
    with pytest.raises(Stopped):
        next(teach(folder, Quiet(stops=True)))


def test_all_processes_stop_with_the_first(folder, monkeypatch):
    # The first of several has not been asked yet, and will train with this one.
    first = SimpleNamespace(broadcast=lambda asked: False)
    monkeypatch.setattr(teacher, "launch_fabric", lambda machine, device: first)
    assert len(list(teach(folder, Quiet(stops=True)))) == 12


def test_what_continues_a_small_tile_has_no_part_in_its_mask(folder):
    rules = {"background": "score", "background_score": 0.7, "margin": 0.0}
    changes = {f"pseudo_masks.{name}": value for name, value in rules.items()}
    taught = list(teach(folder, Quiet(), changes))
    torch.manual_seed(0)
    model = CamClassifier(num_classes=2, width=8).eval()
    differing = 0
    for row, tiles, _, sample in taught:
        height, width = shape = sample.image.shape[:2]
        whole = pad_tile(sample.image, 64)[None].copy()
        images = torch.from_numpy(whole).permute(0, 3, 1, 2).float() / 255
        cam = cam_maps(model, images, refine=0.25).cam[0].numpy()
        tile = cam[:, : -(-height // 8), : -(-width // 8)]
        mask, continued = (
            make_pseudo_mask(
                maps,
                shape,
                tiles.labels[row],
                np.zeros(2, np.float32),
                rules=PseudoMaskRules(**rules, min_object_px=0),
                stride=8,
            )[0]
            for maps in (tile, cam)
        )
        # Networks round otherwise in a batch.
        assert (sample.mask == mask).mean() > 0.99
        differing += (sample.mask == continued).mean() < 0.97
    assert differing > 0


def test_packed_masks_are_the_masks():
    masks = PackedMasks()
    rng = np.random.default_rng(0)
    known = {
        (image_id, Box(y, 0, 5, 7)): rng.integers(0, 256, (5, 7)).astype(np.uint8)
        for image_id in (1, 2)
        for y in (0, 5)
    }
    for (image_id, box), mask in known.items():
        masks.add(image_id, box, mask)
    for (image_id, box), mask in known.items():
        np.testing.assert_array_equal(masks(image_id, box), mask)
